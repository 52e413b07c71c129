// What was just done, said for a moment, with a way to take it back.

import { h } from "./dom.js";

const SECONDS = 8;

/** Say `text`; `offer`: {word, act} puts a button beside it. */
export function toast(text, offer) {
  const place = document.querySelector("#toasts");
  const gone = () => item.remove();
  const button =
    offer &&
    h(
      "button",
      {
        type: "button",
        onclick() {
          gone();
          offer.act();
        },
      },
      offer.word,
    );
  const item = h("div", { class: "toast" }, h("span", {}, text), button);
  place.replaceChildren(item);
  setTimeout(gone, SECONDS * 1_000);
}
