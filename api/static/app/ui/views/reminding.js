// How the user is reminded.

import { h } from "../dom.js";
import { field } from "../forms.js";
import { changeUser } from "../profile.js";
import { say } from "../words.js";

/** Which mails come, and when; nothing for a device that has not heard of it yet. */
export function reminding(app) {
  const chosen = app.user?.reminder_settings;
  if (chosen === undefined) return null;
  const { channels, explicit_channels = ["email", "push"], digest } = chosen;
  const change = (members) => changeUser(app, { reminder_settings: members });
  const mailed = (all, wanted) => [...all.filter((one) => one !== "email"), ...(wanted ? ["email"] : [])];
  return h(
    "section",
    { class: "card stack", "data-key": "reminding" },
    h("h2", {}, say("Mails")),
    reachable(app.user),
    check("mail-due", say("Mail me when something is due"), channels.includes("email"), (wanted) =>
      change({ channels: mailed(channels, wanted) }),
    ),
    check("mail-digest", say("Of all that is due on a day in one mail"), digest, (wanted) => change({ digest: wanted })),
    check("mail-own", say("Mail me the reminders that I have set"), explicit_channels.includes("email"), (wanted) =>
      change({ explicit_channels: mailed(explicit_channels, wanted) }),
    ),
    times(chosen, change),
  );
}

const check = (id, label, checked, change) =>
  h(
    "label",
    { class: "check" },
    h("input", { type: "checkbox", id, checked, onchange: ({ target }) => change(target.checked) }),
    label,
  );

function times({ local_time, quiet_hours }, change) {
  const clock = (id, value) => h("input", { type: "time", id, value });
  const at = clock("mail-at", local_time);
  at.onchange = () => at.value && change({ local_time: at.value });
  const [from, to] = [clock("quiet-from", quiet_hours?.from), clock("quiet-to", quiet_hours?.to)];
  from.onchange = to.onchange = () => {
    const both = from.value && to.value;
    if (both || (!from.value && !to.value)) change({ quiet_hours: both ? { from: from.value, to: to.value } : null });
  };
  return h(
    "div",
    { class: "pair", "data-key": JSON.stringify([local_time, quiet_hours]), "data-keep": true },
    field(say("What is due, at"), at),
    field(say("Quiet from"), from),
    field(say("Quiet until"), to),
  );
}

// Why no reminder would reach this address.
function reachable({ email_verified, mail_problem }) {
  if (mail_problem)
    return h("p", { class: "banner" }, say("Mails to this address came back, or were called spam: none are sent."));
  if (email_verified === false)
    return h("p", { class: "hint" }, say("Reminders are mailed once the link in the first mail has been opened."));
  return null;
}
