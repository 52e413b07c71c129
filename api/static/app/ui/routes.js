// Which view an address names: what stands behind the #.

import { attention } from "./views/attention.js";
import { explain } from "./views/explain.js";
import { history } from "./views/history.js";
import { log } from "./views/log.js";
import { people } from "./views/people.js";
import { person } from "./views/person.js";
import { proof } from "./views/proof.js";
import { reminders } from "./views/reminders.js";
import { search } from "./views/search.js";
import { settings } from "./views/settings.js";
import { signIn } from "./views/sign_in.js";
import { things } from "./views/things.js";

/** Paths with their views; `nav`: in the navigation; `open`: also for who is not signed in. */
export const VIEWS = [
  { path: "/", view: people, title: "People", nav: true },
  { path: "/things", view: things, title: "Things", nav: true },
  { path: "/reminders", view: reminders, title: "Reminders", nav: true },
  { path: "/history", view: history, title: "History", nav: true },
  { path: "/search", view: search, title: "Search", nav: true },
  { path: "/attention", view: attention, title: "Attention", nav: true },
  { path: "/log", view: log, title: "Log", nav: true },
  { path: "/settings", view: settings, title: "Settings", nav: true },
  { path: "/person", view: person, title: "People" },
  { path: "/explain", view: explain, title: "How a balance came about" },
  { path: "/proof", view: proof, title: "Proof", open: true },
];
const SIGN_IN = { view: signIn, title: "Sign in" };

/** {view, title, rest} of an address like `#/person/<id>`; `rest`: what follows the path. */
export function viewOf(hash, signedIn) {
  const [name = "", ...rest] = hash.replace(/^#\/?/, "").split("/");
  const found = VIEWS.find(({ path }) => path === `/${name}`) ?? VIEWS[0];
  return { ...(signedIn || found.open ? found : SIGN_IN), rest };
}
