// Making elements, and making what is there look like what should be there without losing focus, scroll or what is being typed.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onchange", "oninput", "onsubmit"];
// Copied as properties: an element that stays gets the handlers of the one that would have taken its place.
const abouts = new WeakMap(); // what elements that are made once show, as JSON
const unmade = new WeakMap(); // and how their children are made, where they have none yet

/**
 * An element. `props`: attributes, handlers (`onclick`), `class`; null, undefined and false leave an attribute out, true sets it empty.
 * `children`: nodes, texts, lists of such; null, undefined and false are nothing.
 */
export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same of SVG. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

/**
 * An element whose children are made only where there is none yet that was made for the same: `about`, JSON, is all that `children()`
 * shows. It needs a `data-key`, and its children no handlers that know more than that.
 */
export function madeOnce(tag, props, about, children) {
  const element = h(tag, props);
  abouts.set(element, JSON.stringify(about));
  unmade.set(element, children);
  return element;
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  const solid = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...solid.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/**
 * Make the children of `root` those of `wanted` (a list as of `h`); elements with the same `data-key`, or place and tag, stay.
 * One with `data-keep` (and a key) stays as it was first made, with all that is in it: a form that somebody is filling in.
 */
export function show(root, ...wanted) {
  morphChildren(root, h("div", {}, ...wanted));
}

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let here = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = wanted.dataset?.key;
    const known = key ? keyed.get(key) : here?.dataset?.key ? undefined : here;
    if (known && alike(known, wanted)) {
      if (known !== here) old.insertBefore(known, here);
      else here = here.nextSibling;
      morph(known, wanted);
    } else {
      makeWhole(wanted);
      old.insertBefore(wanted, here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

// Itself: what is in it is made where it is shown.
function make(wanted) {
  const children = unmade.get(wanted);
  unmade.delete(wanted);
  if (children) filled(wanted, {}, [children()]);
}

// Also what is in it: nothing of it is there yet.
function makeWhole(wanted) {
  make(wanted);
  for (const child of wanted.children ?? []) makeWhole(child);
}

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName;

function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.dataset.keep !== undefined && fresh.dataset.keep !== undefined) return;
  const about = abouts.get(fresh);
  if (about !== undefined && about === abouts.get(old)) return;
  make(fresh);
  abouts.set(old, about);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of HANDLERS) old[name] = fresh[name];
  morphChildren(old, fresh);
  if (old.tagName === "INPUT" && old.type === "checkbox") old.checked = fresh.checked;
  if (old.tagName === "SELECT" && document.activeElement !== old) old.value = fresh.value;
}
