// The language of the page: texts are written here in English and said in the user's; a catalogue has them by their English.

/** The languages there are, in their own words. */
export const LANGUAGES = { en: "English", de: "Deutsch", ar: "العربية" };
const RIGHT_TO_LEFT = new Set(["ar"]);

let language = "en";
let catalogue = {};

/** Speak `wanted`, or the first of LANGUAGES that the browser's user reads. */
export async function speak(wanted) {
  const preferred = [wanted, ...navigator.languages].map((tag) => tag?.split("-")[0]);
  language = preferred.find((tag) => tag in LANGUAGES) ?? "en";
  catalogue = language === "en" ? {} : await (await fetch(new URL(`../words/${language}.json`, import.meta.url))).json();
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? "rtl" : "ltr";
}

/** The tag of the language that is spoken. */
export const spoken = () => language;

/** `text` in that language, {names} in it replaced by `values`. */
export function say(text, values = {}) {
  return (catalogue[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
