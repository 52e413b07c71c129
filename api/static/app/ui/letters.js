// Words as search sees them: without case, accents and punctuation, as the server has them (domain/words.py).

const LONGEST_WORD = 64; // characters that are looked at; a longer one is found by its beginning
const MOST_WORDS = 16; // of a query
// Letters that people without them on their keyboard write otherwise, and that no decomposition of Unicode takes apart.
const LETTERS = {
  ł: "l",
  ø: "o",
  đ: "d",
  ð: "d",
  ħ: "h",
  ı: "i",
  ŋ: "n",
  ŧ: "t",
  æ: "ae",
  œ: "oe",
  þ: "th",
  ĸ: "k",
  ə: "e",
  ƒ: "f",
};
const NO_ASCII = /[^\0-\x7f]/;
// Chinese and Japanese are written without spaces: each of their characters is a word.
const IDEOGRAPH = /[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]/g;
const WORD = /[\p{L}\p{N}]+/gu;
const JOINED = /[\p{L}\p{N}]+(?:['’‑-][\p{L}\p{N}]+)+/gu;
const JOINTS = /['’‑-]/g;
const IOTA = "\u0345"; // the accent that Unicode puts behind all others
const plains = new Map(); // of signs: a text of ten thousand has some dozens

/** The words of a text, by the beginnings of which it is found; what an apostrophe or a hyphen joins is one word, too. */
export function wordsOf(text) {
  const seen = folded(text);
  return [...parts(seen), ...Array.from(seen.matchAll(JOINED), ([found]) => cut(found.replace(JOINTS, "")))];
}

/** The words that are asked for; none where `text` has only signs. */
export const askedFor = (text) => [...new Set(parts(folded(text)))].slice(0, MOST_WORDS);

const parts = (seen) => Array.from(seen.replace(IDEOGRAPH, " $& ").matchAll(WORD), ([found]) => cut(found));
const cut = (word) => (word.length > LONGEST_WORD ? [...word].slice(0, LONGEST_WORD).join("") : word);
const folded = (text) => (NO_ASCII.test(text) ? Array.from(text, plain).join("") : text.toLowerCase());

function plain(sign) {
  if (!plains.has(sign)) {
    const bare = small(sign)
      .normalize("NFKD")
      .replace(/\p{M}/gu, (mark) => (isAccent(mark) ? "" : mark));
    plains.set(sign, Array.from(bare, (part) => LETTERS[small(part)] ?? small(part)).join(""));
  }
  return plains.get(sign);
}

// By way of the capitals: those of ß are SS.
const small = (sign) => sign.toLowerCase().toUpperCase().toLowerCase();

// Unicode has an order for accents alone: vowel signs, which are marks too, stay where they are.
const isAccent = (mark) => mark === IOTA || (IOTA + mark).normalize("NFD") !== IOTA + mark;
