"use strict";
/* The page "Train it in the page": controls, curves and map. All numbers come from fm.js. */

(() => {
  const place = document.getElementById("train");
  if (!place || !window.PLANTED_FM) return; // the page then keeps its figure

  const SVG = "http://www.w3.org/2000/svg";
  const { fields, truth, noise } = window.PLANTED_FM;
  const set = FM.load(window.PLANTED_FM);
  const LAST = 200; // epochs
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const SHAPES = { user: circle, film: square, time: triangle };
  const CHOICES = {
    rate: { text: "learning rate", values: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1], start: 0.01 },
    k: { text: "length k of the vectors", values: [1, 2, 4, 8, 16], start: 2 },
    penalty: { text: "penalty λ", values: [0, 1, 3, 10, 30, 100], start: 1 },
  };
  const trueTerms = FM.pairTerms(chopped(truth.V.flat(), truth.V[0].length), set);

  let run, curve, before = null, timer = null;

  // -------------------------------------------------------------------------------------------------- elements

  function make(tag, attributes = {}, ...children) {
    const drawn = ["svg", "line", "circle", "rect", "path", "text", "title"].includes(tag);
    const node = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  const number = (x, digits = 3) => x.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace("-", ""); // no −0.00

  function chopped(list, k) {
    return Array.from({ length: list.length / k }, (_, i) => [...list.slice(i * k, (i + 1) * k)]);
  }

  const controls = Object.fromEntries(Object.entries(CHOICES).map(([name, { values, start }]) =>
    [name, make("select", { id: `train-${name}`, autocomplete: "off", onchange: restart },
      ...values.map((value) => make("option", value === start ? { value, selected: "" } : { value }, value)))]));
  controls.seed = make("input", { id: "train-seed", type: "number", min: 0, max: 999999, step: 1, value: 1,
    autocomplete: "off", onchange: (event) => {
      if (!event.target.validity.valid || event.target.value === "") event.target.value = 1;
      restart();
    } });
  const labelled = (name, text) =>
    make("div", { class: "train-control" }, make("label", { for: `train-${name}` }, text), controls[name]);

  const play = make("button", { type: "button", class: "train-play", onclick: () => (timer === null ? go() : pause()) });
  const once = make("button", { type: "button", onclick: oneStep }, "One step");
  const again = make("button", { type: "button", onclick: restart }, "Start again");
  const status = make("p", { class: "train-status", role: "status" });
  const facts = Object.fromEntries(["epoch", "training", "held out", "lowest", "pairs"].map((name) => [name, make("dd")]));
  const named = { epoch: "epoch", training: "error, training rows", "held out": "error, rows held out",
    lowest: "lowest error, rows held out", pairs: "pair terms, learned and true" };

  // -------------------------------------------------------------------------------------------------- the curves

  const W = 460, H = 300, LEFT = 50, RIGHT = 12, TOP = 14, FOOT = 46;
  const curves = make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", class: "train-curves" });
  const spanOf = (epochs) => [10, 25, 50, 100, LAST].find((end) => epochs <= end) ?? LAST;

  function drawCurves() {
    const seen = [...curve, ...(before ?? [])];
    const epochs = spanOf(Math.max(...seen.map((p) => p.epoch)));
    const top = Math.min(2, Math.ceil(Math.max(1, ...seen.flatMap((p) => [p.train, p.valid])) * 4) / 4);
    const x = (epoch) => LEFT + (epoch / epochs) * (W - LEFT - RIGHT);
    const y = (error) => TOP + (1 - Math.min(error, top) / top) * (H - TOP - FOOT);
    const path = (points, what) => points.map((p, i) => `${i ? "L" : "M"}${x(p.epoch).toFixed(1)} ${y(p[what]).toFixed(1)}`).join("");
    const drawn = [];
    const ticks = top > 1 ? 0.5 : 0.25;
    for (let error = 0; error <= top; error += ticks) {
      drawn.push(make("line", { class: "train-grid", x1: LEFT, x2: W - RIGHT, y1: y(error), y2: y(error) }),
        make("text", { x: LEFT - 6, y: y(error) + 5, "text-anchor": "end" }, error.toFixed(2)));
    }
    for (const part of [0, 0.5, 1]) {
      drawn.push(make("text", { x: x(part * epochs), y: H - FOOT + 20, "text-anchor": part === 1 ? "end" : "middle" },
        String(part * epochs)));
    }
    drawn.push(
      make("text", { x: (LEFT + W - RIGHT) / 2, y: H - 6, "text-anchor": "middle" }, "epoch"),
      make("line", { class: "train-noise", x1: LEFT, x2: W - RIGHT, y1: y(noise), y2: y(noise) }),
    );
    if (before) drawn.push(make("path", { class: "train-before", d: path(before, "valid") }));
    drawn.push(make("path", { class: "train-train", d: path(curve, "train") }), make("path", { class: "train-valid", d: path(curve, "valid") }));
    const last = curve.at(-1);
    drawn.push(
      make("circle", { class: "train-end train-end-train", cx: x(last.epoch), cy: y(last.train), r: 4 }),
      make("rect", { class: "train-end train-end-valid", x: x(last.epoch) - 4, y: y(last.valid) - 4, width: 8, height: 8 }),
    );
    curves.replaceChildren(...drawn);
    curves.setAttribute("aria-label", `Errors in stars over ${number(last.epoch, 0)} epochs. Training rows: `
      + `${number(last.train)}. Rows held out: ${number(last.valid)}. Noise of the ratings: ${noise}.`);
  }

  // ----------------------------------------------------------------------------------------------------- the map

  const map = make("svg", { viewBox: "-150 -150 300 300", role: "img", class: "train-map" });
  const r = 4;
  function circle(x, y, kind) { return make("circle", { class: kind, cx: x, cy: y, r }); }
  function square(x, y, kind) { return make("rect", { class: kind, x: x - r, y: y - r, width: 2 * r, height: 2 * r }); }
  function triangle(x, y, kind) { return make("path", { class: kind, d: `M${x} ${y - 6}l6 10.5h-12z` }); }

  function drawMap(vectors) {
    const learned = FM.laidOn(FM.plane(vectors), truth.V);
    const most = Math.max(...[...truth.V, ...learned].map((point) => Math.hypot(...point)));
    const at = ([x, y]) => [(x / most) * 138, (-y / most) * 138];
    const drawn = [
      make("line", { class: "train-grid", x1: -150, x2: 150, y1: 0, y2: 0 }),
      make("line", { class: "train-grid", y1: -150, y2: 150, x1: 0, x2: 0 }),
    ];
    const names = [], points = [];
    for (const [field, { name, values }] of fields.entries()) {
      values.forEach((value, n) => {
        const i = set.begins[field] + n;
        const [[x, y], [tx, ty]] = [at(learned[i]), at(truth.V[i])];
        drawn.push(make("line", { class: "train-off", x1: x, y1: y, x2: tx, y2: ty }),
          SHAPES[name](tx, ty, "train-true"));
        const point = SHAPES[name](x, y, `train-learned train-${name}`);
        point.append(make("title", {}, value)); // under the mouse
        points.push(point);
        if (name === "time") {
          names.push(make("text", { x: tx > 60 ? tx - 8 : tx + 8, y: ty - 6, "text-anchor": tx > 60 ? "end" : "start",
            class: "train-word" }, value)); // where the vector is to go: at the start the learned ones lie on one spot
        }
      });
    }
    map.replaceChildren(...drawn, ...points, ...names);
    map.setAttribute("aria-label", "Map of the vectors: each learned vector is tied to the true one by a line. "
      + `Pair terms, learned and true: ${recovered(vectors)}.`);
  }

  /** In words, how the learned pair terms go with the true ones. */
  function recovered(vectors) {
    const terms = FM.pairTerms(vectors, set);
    if (Math.max(...terms.map(Math.abs)) < 0.005) return "none: the penalty has emptied the vectors";
    return `correlation ${number(FM.correlation(terms, trueTerms), 2)}`;
  }

  // ---------------------------------------------------------------------------------------------------- training

  function note() {
    const { model, steps, perEpoch } = run;
    curve.push({ epoch: steps / perEpoch, train: FM.rmse(model, set, set.train), valid: FM.rmse(model, set, set.valid) });
  }

  function render() {
    const vectors = FM.centred(run.model, set);
    const last = curve.at(-1);
    const low = curve.reduce((a, b) => (b.valid < a.valid ? b : a));
    drawCurves();
    drawMap(vectors);
    const epoch = (x) => (Number.isInteger(x) ? x : number(x, 2));
    facts.epoch.textContent = `${epoch(last.epoch)} of ${LAST}`;
    facts.training.textContent = `${number(last.train)} stars`;
    facts["held out"].textContent = `${number(last.valid)} stars`;
    facts.lowest.textContent = `${number(low.valid)} stars, in epoch ${epoch(low.epoch)}`;
    facts.pairs.textContent = recovered(vectors);
    const done = run.steps >= LAST * run.perEpoch;
    play.textContent = timer === null ? "Train" : "Pause";
    play.disabled = once.disabled = done;
    once.disabled = done || timer !== null;
  }

  function say(what) {
    const { epoch, train, valid } = curve.at(-1);
    status.textContent = `${what} ${Number.isInteger(epoch) ? epoch : number(epoch, 2)} epochs: training rows `
      + `${number(train)} stars, rows held out ${number(valid)} stars.`;
  }

  function restart() {
    clearTimeout(timer);
    timer = null;
    if (curve?.length > 1) before = curve;
    const chosen = Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, Number(control.value)]));
    run = FM.training(set, chosen);
    curve = [];
    note();
    render();
    status.textContent = "Ready: the weights are zero, and the vectors small and random.";
  }

  function epochs(n) {
    for (let i = 0; i < n && run.steps < LAST * run.perEpoch; i++) {
      do run.step(); while (run.steps % run.perEpoch);
      note();
    }
  }

  function go() {
    status.textContent = "Training.";
    const turn = () => {
      epochs(calm.matches ? 50 : 1); // who asks for less motion sees four pictures, one a second
      timer = run.steps < LAST * run.perEpoch ? setTimeout(turn, calm.matches ? 1000 : 40) : null;
      if (timer === null && document.activeElement === play) again.focus({ preventScroll: true }); // it gets disabled
      render();
      if (timer === null) say("Finished after");
    };
    turn();
  }

  function pause() {
    clearTimeout(timer);
    timer = null;
    render();
    say("Paused after");
  }

  function oneStep() {
    run.step();
    note();
    render();
    say("One step more makes");
  }

  const key = (kind, text, shape) =>
    make("li", {}, make("svg", { viewBox: "-12 -8 24 16", "aria-hidden": "true" }, shape(kind)), text);
  const stroke = (kind) => make("line", { class: kind, x1: -12, x2: 12, y1: 0, y2: 0 });

  place.append(
    make("form", { class: "train-form", autocomplete: "off", onsubmit: (event) => event.preventDefault() },
      ...Object.entries(CHOICES).map(([name, { text }]) => labelled(name, text)), labelled("seed", "seed")),
    make("div", { class: "train-buttons" }, play, once, again),
    status,
    make("div", { class: "train-panels" },
      make("figure", {}, make("figcaption", {}, "Root mean squared error in stars"), curves,
        make("ul", { class: "train-key" }, key("train-train", "training rows", stroke),
          key("train-valid", "rows held out", stroke), key("train-before", "held out, the run before", stroke),
          key("train-noise", "noise of the ratings", stroke))),
      make("figure", {}, make("figcaption", {}, "The vectors, turned to lie on the true ones"), map,
        make("ul", { class: "train-key" }, ...fields.map(({ name }) =>
          key(`train-learned train-${name}`, name, (kind) => SHAPES[name](0, 0, kind))),
        key("train-true", "true", (kind) => circle(0, 0, kind))))),
    make("dl", { class: "train-facts" }, ...Object.entries(facts).map(([name, value]) =>
      make("div", {}, make("dt", {}, named[name]), value))),
  );
  place.hidden = false;
  document.documentElement.classList.add("train-on");
  addEventListener("pagehide", () => timer !== null && pause());
  restart();
})();
