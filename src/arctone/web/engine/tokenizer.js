// From a prompt to token ids: WordPiece behind BERT's normalization, as a model's tokenizer.json describes them.

const MAX_WORD = 100;
const PAD_TOKENS = ["[PAD]", "<pad>"];
// Ideographs, each of which is a word of its own.
const IDEOGRAPH = new RegExp(
  "[\\u4e00-\\u9fff\\u3400-\\u4dbf\\uf900-\\ufaff\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2b73f}\\u{2b740}-\\u{2b81f}" +
    "\\u{2b920}-\\u{2ceaf}\\u{2f800}-\\u{2fa1f}]",
  "gu",
);
const DROPPED = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu;
const SPACE = /\p{White_Space}/gu;
const MARK = /\p{Mn}/gu;
const WORDS = /[!-/:-@[-`{-~\p{P}]|[^!-/:-@[-`{-~\p{P}\p{White_Space}]+/gu;

/** The tokenizer of a model. */
export class Tokenizer {
  /**
   * `description`: the parsed tokenizer.json. `numTokens`: length of every encoding, special tokens included.
   * Throws: Error for a tokenizer of another kind.
   */
  constructor(description, numTokens) {
    const { model, normalizer, pre_tokenizer: words, post_processor: ends } = description;
    const kinds = [model?.type, normalizer?.type, words?.type, ends?.type].join(", ");
    if (kinds !== "WordPiece, BertNormalizer, BertPreTokenizer, TemplateProcessing") {
      throw new Error(`the tokenizer is of the kind ${kinds}, which this engine does not read.`);
    }
    this.numTokens = numTokens;
    this._vocabulary = new Map(Object.entries(model.vocab));
    this._prefix = model.continuing_subword_prefix;
    this._maxWord = model.max_input_chars_per_word ?? MAX_WORD;
    this._unknown = this._vocabulary.get(model.unk_token);
    this._normalizer = normalizer;
    this._added = [...description.added_tokens].sort((a, b) => b.content.length - a.content.length);
    this._template = ends.single.map((part) => (part.Sequence ? null : ends.special_tokens[part.SpecialToken.id].ids));
    const known = PAD_TOKENS.map((token) => this._vocabulary.get(token)).find((id) => id !== undefined);
    this._pad = description.padding?.pad_id ?? known ?? 0;
  }

  /**
   * Tokens of a prompt; what does not fit is cut before the final special token, which always stays.
   * Returns: ids (Int32Array, padded), mask (Float32Array, 1 = real), wasCut.
   */
  encode(prompt) {
    const found = this._tokens(prompt);
    const room = this.numTokens - this._template.flatMap((ids) => ids ?? []).length;
    const real = this._template.flatMap((ids) => ids ?? found.slice(0, room));
    const ids = new Int32Array(this.numTokens).fill(this._pad);
    ids.set(real);
    const mask = Float32Array.from(ids, (_, place) => (place < real.length ? 1 : 0));
    return { ids, mask, wasCut: found.length > room };
  }

  /** Ids without special ends. Special tokens that the prompt spells out keep their own ids. */
  _tokens(text) {
    const found = [];
    let rest = text;
    while (rest) {
      const [first, token] = this._firstAdded(rest);
      for (const word of this._normalized(rest.slice(0, first)).match(WORDS) ?? []) found.push(...this._pieces(word));
      if (!token) break;
      found.push(token.id);
      rest = rest.slice(first + token.content.length);
    }
    return found;
  }

  /** Where the first added token of a text begins, and which it is. */
  _firstAdded(text) {
    let first = text.length, found = null;
    for (const token of this._added) {
      const place = text.indexOf(token.content);
      if (place >= 0 && place < first) [first, found] = [place, token];
    }
    return [first, found];
  }

  _normalized(text) {
    const { clean_text: cleans, handle_chinese_chars: parts, strip_accents: strips, lowercase: lowers } = this._normalizer;
    let found = text;
    if (cleans) found = found.replace(DROPPED, "").replace(SPACE, " ");
    if (parts) found = found.replace(IDEOGRAPH, " $& ");
    if (strips ?? lowers) found = found.normalize("NFD").replace(MARK, "");
    // Letter by letter, because the small final sigma depends on its neighbors.
    return lowers ? Array.from(found, (letter) => letter.toLowerCase()).join("") : found;
  }

  /** The longest known pieces of a word from left to right; the unknown token if it does not come out even. */
  _pieces(word) {
    const letters = Array.from(word);
    if (letters.length > this._maxWord) return [this._unknown];
    const found = [];
    for (let first = 0; first < letters.length; ) {
      let last = letters.length, id;
      for (; last > first; last--) {
        id = this._vocabulary.get((first ? this._prefix : "") + letters.slice(first, last).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return [this._unknown];
      found.push(id);
      first = last;
    }
    return found;
  }
}
