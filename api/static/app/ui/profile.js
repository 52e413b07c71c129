// What the server keeps of the user, changed there at once.

import { isUser } from "../client/answers.js";
import { toast } from "./toast.js";
import { inWords } from "./troubles.js";

let turn = Promise.resolve(); // one change after the other: the answer to the last one has them all
let waiting = 0;
let known; // to the server

/** Change members of the user, who is shown as wanted until the server has said what came of it. */
export async function changeUser(app, json) {
  if (waiting === 0) known = app.user;
  waiting += 1;
  turn = tell(app, json, turn);
  const { reminder_settings, ...more } = json;
  const wanted = { ...app.user, ...more, reminder_settings: { ...app.user.reminder_settings, ...reminder_settings } };
  await app.device.remember({ user: wanted });
}

async function tell(app, json, before) {
  await before;
  try {
    known = await app.device.ask("PATCH", "/api/me", { json, shape: isUser });
  } catch (error) {
    toast(inWords(error));
  }
  waiting -= 1;
  if (waiting === 0) await app.device.remember({ user: known });
}
