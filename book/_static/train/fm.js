"use strict";
/* A factorization machine and its training, as derived in the book: the score (eq-fm-fast), the gradient of the squared
   error (eq-fm-gradient) and Adam (eq-adam), in double precision.

   A model is {k, w0, w, V}: `w` holds a weight, and `V` a vector of length k, for each value of all fields, one field
   after the other. A row is the list of its values' positions in these tables. */

const FM = (() => {
  /** Numbers from 0 to 1 that a seed fixes, the same in every browser. */
  function random(seed) {
    let state = seed >>> 0;
    return () => { // mulberry32
      state = (state + 0x6d2b79f5) >>> 0;
      let x = Math.imul(state ^ (state >>> 15), 1 | state);
      x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
      return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  /** A normal number, from two uniform ones. */
  const normal = (next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

  /** Rows and stars of the planted set, with a value's position among those of all fields, and where fields begin. */
  function load({ fields, rows, stars, train }) {
    const begins = [0];
    for (const field of fields) begins.push(begins.at(-1) + field.values.length);
    const x = stars.map((_, n) => rows.map((column, field) => begins[field] + column[n]));
    const every = stars.map((_, n) => n);
    return { x, y: stars, begins, train: every.slice(0, train), valid: every.slice(train) };
  }

  /** A model before training: the mean rating, weights of zero, small random vectors. */
  function start(set, k, next, spread = 0.1) {
    const n = set.begins.at(-1);
    const w0 = set.train.reduce((sum, row) => sum + set.y[row], 0) / set.train.length;
    return { k, w0, w: new Float64Array(n), V: Float64Array.from({ length: n * k }, () => spread * normal(next)) };
  }

  /** The score of a row, and the sum of its vectors. */
  function forward({ k, w0, w, V }, x) {
    const sums = new Float64Array(k);
    let score = w0;
    for (const i of x) {
      score += w[i];
      for (let f = 0; f < k; f++) {
        sums[f] += V[i * k + f];
        score -= V[i * k + f] ** 2 / 2;
      }
    }
    for (let f = 0; f < k; f++) score += sums[f] ** 2 / 2;
    return { score, sums };
  }

  /** Loss and gradient of some rows: their mean squared error, and `share` times the squares of all vectors. */
  function gradient(model, set, batch, share) {
    const { k, V } = model;
    const g = { loss: 0, w0: new Float64Array(1), w: new Float64Array(model.w.length), V: new Float64Array(V.length) };
    for (const row of batch) {
      const { score, sums } = forward(model, set.x[row]);
      const error = score - set.y[row];
      const pull = (2 * error) / batch.length;
      g.loss += error ** 2 / batch.length;
      g.w0[0] += pull;
      for (const i of set.x[row]) {
        g.w[i] += pull;
        for (let f = 0; f < k; f++) g.V[i * k + f] += pull * (sums[f] - V[i * k + f]);
      }
    }
    for (let j = 0; j < V.length; j++) {
      g.loss += share * V[j] ** 2;
      g.V[j] += 2 * share * V[j];
    }
    return g;
  }

  /** Root mean squared error of some rows, in stars. */
  function rmse(model, set, rows) {
    return Math.sqrt(rows.reduce((sum, n) => sum + (forward(model, set.x[n]).score - set.y[n]) ** 2, 0) / rows.length);
  }

  /** A training that has not begun. `penalty` is λ in units of one rating: λ ‖V‖² beside the squared errors of all rows.

      Each `step()` takes the next batch of the epoch's random order, and returns its rows. */
  function training(set, { k, rate, penalty, seed, batch: size = 50 }) {
    const next = random(seed);
    const model = start(set, k, next);
    const share = penalty / set.train.length;
    const perEpoch = Math.ceil(set.train.length / size);
    const slots = ["w0", "w", "V"].map((name) => {
      const n = name === "w0" ? 1 : model[name].length;
      return { name, m: new Float64Array(n), v: new Float64Array(n) };
    });
    const run = { model, steps: 0, perEpoch, step };
    let order = [];

    function shuffled() {
      const rows = [...set.train];
      for (let i = rows.length - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1));
        [rows[i], rows[j]] = [rows[j], rows[i]];
      }
      return rows;
    }

    function step() {
      const at = run.steps % perEpoch;
      if (at === 0) order = shuffled();
      const batch = order.slice(at * size, (at + 1) * size);
      adam(gradient(model, set, batch, share));
      return batch;
    }

    function adam(g, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7) {
      run.steps += 1;
      const scale = rate * Math.sqrt(1 - beta2 ** run.steps) / (1 - beta1 ** run.steps);
      for (const { name, m, v } of slots) {
        g[name].forEach((x, j) => {
          m[j] += (1 - beta1) * (x - m[j]);
          v[j] += (1 - beta2) * (x * x - v[j]);
          const move = scale * m[j] / (Math.sqrt(v[j]) + epsilon);
          if (name === "w0") model.w0 -= move;
          else model[name][j] -= move;
        });
      }
    }
    return run;
  }

  /** The vectors of a model without the mean of their field. What the mean does in a pair, a weight can do. */
  function centred({ k, V }, { begins }) {
    const rows = Array.from({ length: V.length / k }, (_, i) => [...V.slice(i * k, (i + 1) * k)]);
    for (const [field, end] of begins.slice(1).entries()) {
      const own = rows.slice(begins[field], end);
      for (let f = 0; f < k; f++) {
        const mean = own.reduce((sum, row) => sum + row[f], 0) / own.length;
        for (const row of own) row[f] -= mean;
      }
    }
    return rows;
  }

  const dot = (a, b) => a.reduce((sum, x, f) => sum + x * b[f], 0);

  /** The terms of all pairs of values that can meet, which are those of two fields (eq-pairs). */
  function pairTerms(vectors, { begins }) {
    const field = vectors.map((_, i) => begins.findLastIndex((begin) => i >= begin));
    return vectors.flatMap((a, i) => vectors.flatMap((b, j) => (field[i] < field[j] ? [dot(a, b)] : [])));
  }

  /** The correlation of two lists of numbers; NaN if one of them is constant. */
  function correlation(a, b) {
    const off = (list) => {
      const mean = list.reduce((sum, x) => sum + x, 0) / list.length;
      return list.map((x) => x - mean);
    };
    const [x, y] = [off(a), off(b)];
    return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
  }

  /** Points of a plane for vectors of any length: their coordinates on the two axes along which they vary most. */
  function plane(vectors) {
    const k = vectors[0].length;
    if (k < 3) return vectors.map(([x, y = 0]) => [x, y]);
    const moments = Array.from({ length: k }, (_, f) =>
      Array.from({ length: k }, (_, g) => vectors.reduce((sum, v) => sum + v[f] * v[g], 0)));
    const axes = [];
    for (let turn = 0; turn < 2; turn++) {
      let axis = Array.from({ length: k }, (_, f) => 1 + f / 7 + turn * (f % 2));
      for (let i = 0; i < 200; i++) {
        axis = moments.map((row) => dot(row, axis));
        for (const other of axes) {
          const along = dot(other, axis);
          axis = axis.map((x, f) => x - along * other[f]);
        }
        const length = Math.sqrt(dot(axis, axis)) || 1;
        axis = axis.map((x) => x / length);
      }
      axes.push(axis);
    }
    return vectors.map((v) => axes.map((axis) => dot(axis, v)));
  }

  /** The points turned, and mirrored if that helps, so that they lie as near as they can to where they should. */
  function laidOn(points, truth) {
    const sums = [0, 0, 0, 0]; // Σ of x·x', y·y', x·y', y·x'
    points.forEach(([x, y], i) => {
      const [a, b] = truth[i];
      sums[0] += x * a; sums[1] += y * b; sums[2] += x * b; sums[3] += y * a;
    });
    const turn = Math.hypot(sums[0] + sums[1], sums[2] - sums[3]);
    const mirror = Math.hypot(sums[0] - sums[1], sums[2] + sums[3]);
    const sign = mirror > turn ? -1 : 1; // of y, before the turn
    const angle = Math.atan2(sums[2] - sign * sums[3], sums[0] + sign * sums[1]);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return points.map(([x, y]) => [c * x - s * sign * y, s * x + c * sign * y]);
  }

  return { load, start, random, forward, gradient, rmse, training, centred, pairTerms, correlation, plane, laidOn };
})();
