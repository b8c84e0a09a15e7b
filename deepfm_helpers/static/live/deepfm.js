"use strict";
/* The forward pass of a trained DeepFM, as derived in the book and labelled with its equations.

   Every field of a user and a film enters as an entry {w, v, h}: its weight, its vector of length k, and its
   share of the first hidden layer. window.DEEPFM_MODEL holds the model, in the form of deepfm_helpers/live.py; its part
   `lists`, where there is one, is a second model, which makes lists. */

const DeepFM = (() => {
  const WHOLE = { 8: Int8Array, 16: Int16Array, 32: Float32Array };

  /** The numbers of a table or layer: of 32 bits as they are, of fewer as whole multiples of a step. */
  function numbers({ bits, step, data }) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    return Float64Array.from(new WHOLE[bits](bytes.buffer), (x) => x * step);
  }

  function dot(a, b) {
    let sum = 0;
    for (let f = 0; f < a.length; f++) sum += a[f] * b[f];
    return sum;
  }

  /** Decodes the tables and layers of an exported model. */
  function load(exported) {
    const fields = exported.fields.map((f) => ({ ...f, w: numbers(f.w), v: numbers(f.v), entries: [] }));
    const network = exported.network.map((l) => ({ ...l, kernel: numbers(l.kernel), bias: numbers(l.bias) }));
    return { ...exported, fields, network, lists: exported.lists && load(exported.lists) };
  }

  /** The share of one field in the first hidden layer, before bias and ReLU (eq-topn-hidden). */
  function hidden(model, place, v) {
    const { kernel, size } = model.network[0];
    const h = new Float64Array(size[1]);
    v.forEach((x, f) => {
      const row = (place * v.length + f) * size[1];
      for (let j = 0; j < size[1]; j++) h[j] += x * kernel[row + j];
    });
    return h;
  }

  /** The mixture Σ share · entry of several entries of one field; with equal shares their mean (eq-pooling). */
  function mix(model, place, entries, shares) {
    const v = new Float64Array(model.fields[place].k);
    entries.forEach((entry, i) => entry.v.forEach((x, f) => { v[f] += shares[i] * x; }));
    const w = entries.reduce((sum, entry, i) => sum + shares[i] * entry.w, 0);
    return { w, v, h: hidden(model, place, v) };
  }

  /** The entry of the numeric field at `place` for a number in the unit of its column; null: for the mean. */
  function measure(model, place, number) {
    const { mean, spread } = model.fields[place];
    const shares = [1, number === null ? 0 : (number - mean) / spread];
    return mix(model, place, shares.map((_, row) => tableRow(model, place, row)), shares);
  }

  /** The entry of the field at `place`: a row of its tables, the mean of several rows, or that of a number. */
  function lookUp(model, place, rows) {
    const field = model.fields[place];
    if (field.kind === "numeric") {
      if (field.last?.number !== rows) field.last = { number: rows, entry: measure(model, place, rows) };
      return field.last.entry;
    }
    if (Array.isArray(rows)) {
      const values = rows.map((row) => lookUp(model, place, row));
      return mix(model, place, values, rows.map(() => 1 / rows.length));
    }
    return tableRow(model, place, rows);
  }

  function tableRow(model, place, row) {
    const { k, w, v, entries } = model.fields[place];
    if (!entries[row]) {
      const vector = Float64Array.from(v.subarray(row * k, (row + 1) * k));
      entries[row] = { w: w[row], v: vector, h: hidden(model, place, vector) };
    }
    return entries[row];
  }

  /** The taste of someone who likes some films (eq-topn-taste); without films, the average over the training rows. */
  function taste(model, place, films) {
    if (!films.length) return lookUp(model, place, 0);
    const entries = films.map((film) => lookUp(model, place, film + 1));
    return mix(model, place, entries, films.map(() => 1 / Math.sqrt(films.length)));
  }

  /** The network on all vectors, laid end to end (eq-deep). */
  function deep(model, entries) {
    let a = Float64Array.from(model.network[0].bias);
    for (const { h } of entries) for (let j = 0; j < a.length; j++) a[j] += h[j];
    for (const { kernel, bias, size } of model.network.slice(1)) {
      const next = Float64Array.from(bias);
      for (let i = 0; i < size[0]; i++) {
        if (a[i] > 0) for (let j = 0; j < size[1]; j++) next[j] += a[i] * kernel[i * size[1] + j]; // ReLU
      }
      a = next;
    }
    return a[0];
  }

  /** All terms of a score: w0 and one weight per field (eq-first-order), all pairs (eq-pairs), deep (eq-deep). */
  function terms(model, entries) {
    const pairs = [];
    for (const [i, a] of entries.entries()) for (const b of entries.slice(i + 1)) pairs.push(dot(a.v, b.v));
    return { w0: model.w0, first: entries.map((e) => e.w), pairs, deep: deep(model, entries) };
  }

  /** The sum of the terms (eq-deepfm), of clicks in log-odds; `off` names parts to leave out: first, pairs, deep. */
  function score(t, off = {}) {
    const sum = (part, values) => (off[part] ? 0 : values.reduce((a, b) => a + b, 0));
    return t.w0 + sum("first", t.first) + sum("pairs", t.pairs) + sum("deep", [t.deep]);
  }

  /** What a model predicts: the score itself, or for clicks one sigmoid of it (eq-click). */
  const predicted = (model, score) => (model.task === "click" ? 1 / (1 + Math.exp(-score)) : score);

  /** The logarithm of how probable it is that someone likes a film of this score. */
  function evidenceOf(model, score) {
    if (model.task === "click") return -(Math.max(-score, 0) + Math.log1p(Math.exp(-Math.abs(score)))); // log of a sigmoid
    return -((model.range[1] - score) ** 2) / (2 * model.error ** 2);
  }

  /** The uid entry of someone new who likes some films: a mixture of all known users (eq-topn-mixture).

      `entriesOf(uid entry, film)` are the entries of that person with this uid, and a film. */
  function newUser(model, entriesOf, films) {
    const place = model.fields.findIndex((f) => f.name === "uid");
    if (!films.length || model.fields[place].rows < 2) return lookUp(model, place, 0); // the average over the training rows
    const known = Array.from({ length: model.fields[place].rows - 1 }, (_, i) => lookUp(model, place, i + 1));
    const evidence = known.map((uid) => films.reduce(
      (sum, film) => sum + evidenceOf(model, score(terms(model, entriesOf(uid, film)))), 0));
    const best = evidence.reduce((a, b) => Math.max(a, b));
    const likely = evidence.map((e) => Math.exp(e - best));
    const total = likely.reduce((a, b) => a + b, 0);
    return mix(model, place, known, likely.map((p) => p / total));
  }

  return { load, lookUp, taste, terms, score, predicted, newUser };
})();
