// The gallery: every run of a sweep as a dot, with axes and colour to choose, and a table whose headings sort it.
labs.gallery = (lab, { parameters, metrics, curves }, { node }) => {
  const NAMES = {
    k: "vector length k",
    hidden: "hidden layers",
    penalty: "penalty factor",
    seed: "seed",
    val_rmse: "validation RMSE (stars)",
    test_rmse: "test RMSE (stars)",
    best_epoch: "best epoch",
    n_weights: "trained weights",
  };
  const SHAPES = [
    "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z", // circle
    "M-4.4-4.4H4.4V4.4H-4.4Z", // square
    "M0-5.8L5.6 4.2H-5.6Z", // triangle
    "M0-6.2L6.2 0L0 6.2L-6.2 0Z", // diamond
    "M-1.8-5.4H1.8V-1.8H5.4V1.8H1.8V5.4H-1.8V1.8H-5.4V-1.8H-1.8Z", // cross
  ];
  const CLASSES = 5; // of a colour that stands for a number
  const NEAR = 26; // pixels from the pointer to a dot
  const columns = { ...parameters, ...metrics };
  const count = Object.values(columns)[0].length;
  const all = [...Array(count).keys()];
  const isParameter = (name) => name in parameters;
  const setting = (i) => Object.keys(parameters).filter((p) => p !== "seed").map((p) => parameters[p][i]).join("|");
  const same = all.map((i) => all.filter((j) => setting(i) === setting(j)));

  /** A value in words: the list of no layers is "none", and others lose their brackets. */
  function said(name, value) {
    if (isParameter(name)) return value === "[]" ? "none" : value.replace(/^\[(.*)\]$/, "$1");
    if (name.endsWith("rmse")) return value.toFixed(4);
    return value.toLocaleString("en", { maximumFractionDigits: 1 });
  }

  /** The values of a parameter in their order: numbers by size, lists by length. */
  function values(name) {
    const order = (a, b) => a.split(",").length - b.split(",").length || a.length - b.length || Number(a) - Number(b);
    const numeric = parameters[name].every((value) => Number.isFinite(Number(value)));
    return [...new Set(parameters[name])].sort(numeric ? (a, b) => a - b : order);
  }

  /** From runs to groups with one colour: by the value of a parameter, or by the class of a number. */
  function grouped(name) {
    if (isParameter(name)) {
      const found = values(name);
      return { of: parameters[name].map((v) => found.indexOf(v)), labels: found.map((v) => said(name, v)), kind: "colour" };
    }
    const column = metrics[name], low = Math.min(...column), high = Math.max(...column);
    const step = (high - low) / CLASSES || 1;
    return {
      of: column.map((x) => Math.min(CLASSES - 1, Math.floor((x - low) / step))),
      labels: [...Array(CLASSES).keys()].map((c) => `${said(name, low + c * step)} to ${said(name, low + (c + 1) * step)}`),
      kind: "class",
    };
  }

  /** Round numbers over a range, about `wanted` of them. */
  function ticks(low, high, wanted) {
    const rough = (high - low || 1) / wanted, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) {
      found.push({ at: at * step, text: (at * step).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) });
    }
    return found;
  }

  /** An axis: `of` gives each run its place from 0 to 1, `ticks` the places with a text. */
  function axis(name, room) {
    if (isParameter(name)) {
      const found = values(name);
      const middle = (v) => (found.indexOf(v) + 0.5) / found.length;
      return {
        of: parameters[name].map(middle),
        ticks: found.map((v) => ({ at: middle(v), text: said(name, v) })),
        band: 0.74 / found.length,
      };
    }
    const column = metrics[name], low = Math.min(...column), high = Math.max(...column);
    const edge = 0.05 * (high - low) || 1, place = (x) => (x - low + edge) / (high - low + 2 * edge);
    return {
      of: column.map(place),
      ticks: ticks(low - edge, high + edge, room).map(({ at, text }) => ({ at: place(at), text })),
      band: 0,
    };
  }

  /** The runs that an axis would lay upon each other, fanned out in the order of their colours. */
  function fanned(x, y, colour) {
    const cells = new Map();
    const sorted = [...all].sort((i, j) => colour.of[i] - colour.of[j] || setting(i).localeCompare(setting(j)) || i - j);
    for (const i of sorted) {
      const cell = `${x.band ? x.of[i] : ""}|${y.band ? y.of[i] : ""}`;
      cells.set(cell, [...(cells.get(cell) ?? []), i]);
    }
    const places = [];
    for (const runs of cells.values()) {
      const across = x.band && y.band ? Math.ceil(Math.sqrt(runs.length)) : x.band ? runs.length : 1;
      const up = Math.ceil(runs.length / across);
      const lone = !x.band && y.band ? runs.length : up;
      runs.forEach((i, at) => {
        const [column, row] = !x.band && y.band ? [0, at] : [at % across, Math.floor(at / across)];
        places[i] = [
          x.of[i] + x.band * ((column + 0.5) / across - 0.5),
          y.of[i] + y.band * ((row + 0.5) / lone - 0.5),
        ];
      });
    }
    return places;
  }

  const chosen = { across: "k", up: "test_rmse", colour: "penalty" };
  const controls = Object.entries({ across: "Across", up: "Up", colour: "Colour" }).map(([role, label]) => {
    const options = Object.keys(columns).map((name) => node("option", { value: name }, NAMES[name] ?? name));
    const select = node("select", { "aria-label": label, autocomplete: "off", onchange: () => { chosen[role] = select.value; draw(); } }, ...options);
    select.value = chosen[role];
    return node("label", {}, label, select);
  });
  const legend = node("ul", { class: "gallery-legend" });
  const title = node("p", { class: "gallery-up" });
  const chart = node("svg", { class: "gallery-chart", role: "group" });
  const foot = node("p", { class: "gallery-across" });
  const about = node("div", { class: "gallery-run" });
  const first = all.reduce((a, b) => (metrics.val_rmse[b] < metrics.val_rmse[a] ? b : a));
  const lit = node("g", { "aria-hidden": "true" }); // copies of the chosen run and its siblings, above all others
  let dots = [], places = [], pinned = first, focusable = first, width = 0;

  function mark(group, kind) {
    return node("path", { d: SHAPES[kind === "class" ? 0 : group % SHAPES.length], class: `gallery-${kind}-${group % (kind === "class" ? CLASSES : SHAPES.length)}` });
  }

  /** How wide the chart may be. */
  function room() {
    return Math.max(200, Math.floor(title.getBoundingClientRect().width));
  }

  function draw() {
    const hadFocus = chart.contains(document.activeElement);
    width = room();
    const height = Math.round(Math.min(430, Math.max(300, 0.6 * width)));
    const x = axis(chosen.across, width / 70), y = axis(chosen.up, 6), colour = grouped(chosen.colour);
    const left = 12 + 7 * Math.max(...y.ticks.map(({ text }) => text.length)), right = 8, top = 8, bottom = 24;
    const toX = (at) => left + at * (width - left - right), toY = (at) => top + (1 - at) * (height - top - bottom);
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("width", width);
    chart.setAttribute("height", height);
    chart.setAttribute("aria-label", `${count} runs: ${NAMES[chosen.across]} across, ${NAMES[chosen.up]} up, ${NAMES[chosen.colour]} as colour. Arrow keys go from run to run.`);
    const ground = node("g", { "aria-hidden": "true" });
    for (const { at, text } of x.ticks) {
      const place = Math.round(toX(at));
      ground.append(node("line", { class: "gallery-grid", x1: place, x2: place, y1: top, y2: height - bottom }));
      const anchor = place > width - 4 * text.length ? "end" : "middle";
      ground.append(node("text", { x: anchor === "end" ? width : place, y: height - 7, "text-anchor": anchor }, text));
    }
    for (const { at, text } of y.ticks) {
      const place = Math.round(toY(at));
      ground.append(node("line", { class: "gallery-grid", x1: left, x2: width - right, y1: place, y2: place }));
      ground.append(node("text", { x: left - 6, y: place + 4, "text-anchor": "end" }, text));
    }
    places = fanned(x, y, colour).map(([a, b]) => [toX(a), toY(b)]);
    dots = all.map((i) => {
      const dot = mark(colour.of[i], colour.kind);
      dot.classList.add("gallery-dot");
      dot.setAttribute("transform", `translate(${places[i].map((at) => at.toFixed(1)).join(" ")})`);
      dot.setAttribute("role", "img");
      dot.setAttribute("tabindex", i === focusable ? 0 : -1);
      dot.setAttribute("aria-label", Object.keys(columns).map((name) => `${NAMES[name]} ${said(name, columns[name][i])}`).join("; "));
      dot.addEventListener("focus", () => show(i));
      dot.addEventListener("blur", () => show(pinned));
      return dot;
    });
    chart.replaceChildren(ground, ...dots, lit);
    if (hadFocus) dots[focusable].focus();
    title.textContent = `↑ ${NAMES[chosen.up]}`;
    foot.textContent = `${NAMES[chosen.across]} →`;
    legend.replaceChildren(
      node("li", {}, `${NAMES[chosen.colour]}:`),
      ...colour.labels.map((label, group) =>
        node("li", {}, node("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, mark(group, colour.kind)), ` ${label}`),
      ),
    );
    show(pinned);
  }

  /** Says what a run is, and lights it up with the runs of the same setting; null for none. */
  function show(i) {
    chart.classList.toggle("gallery-chosen", i !== null);
    const siblings = i === null ? [] : same[i];
    lit.replaceChildren(
      ...siblings.map((j) => {
        const copy = dots[j].cloneNode();
        for (const name of ["role", "tabindex", "aria-label"]) copy.removeAttribute(name);
        copy.classList.add("gallery-lit", ...(j === i ? ["gallery-this"] : []));
        return copy;
      }),
    );
    if (i === null) {
      about.replaceChildren(node("p", {}, "No run is chosen. A click keeps one; Escape lets it go."));
      return;
    }
    const alike = Object.keys(metrics).filter((name) => siblings.every((j) => metrics[name][j] === metrics[name][i]));
    const various = Object.keys(metrics).filter((name) => !alike.includes(name));
    const table = node(
      "table", {},
      node("thead", {}, node("tr", {}, ...["seed", ...various].map((name) => node("th", { scope: "col" }, NAMES[name])))),
      node(
        "tbody", {},
        ...siblings.map((j) =>
          node(
            "tr", j === i ? { class: "gallery-this" } : {},
            node("th", { scope: "row" }, parameters.seed[j]),
            ...various.map((name) => node("td", {}, said(name, metrics[name][j]))),
          ),
        ),
      ),
    );
    const what = [...Object.keys(parameters), ...alike];
    about.replaceChildren(
      node("p", {}, ...what.flatMap((name, at) => [at ? "; " : "", `${NAMES[name]} `, node("b", {}, said(name, columns[name][i]))])),
      table,
      learning(i, siblings),
    );
  }

  /** The validation RMSE of a run and its siblings by epoch. */
  function learning(i, siblings) {
    const shown = siblings.map((j) => curves[j]);
    const low = Math.min(...shown.flat()), high = Math.max(...shown.flat());
    const w = 240, h = 70, at = (curve) => curve.map((value, e) =>
      `${e ? "L" : "M"}${(4 + (e / Math.max(curve.length - 1, 1)) * (w - 8)).toFixed(1)} ${(4 + (1 - (value - low) / (high - low || 1)) * (h - 8)).toFixed(1)}`).join("");
    const lines = siblings.map((j) => node("path", { d: at(curves[j]), class: j === i ? "gallery-line gallery-this" : "gallery-line" }));
    const words = `Validation RMSE over ${curves[i].length} epochs, from ${high.toFixed(3)} down to ${low.toFixed(3)} stars.`;
    return node(
      "div", { class: "gallery-learning" },
      node("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: "img", "aria-label": words }, ...lines),
      node("p", {}, words),
    );
  }

  function nearest(event) {
    const box = chart.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    const distance = (i) => Math.hypot(places[i][0] - px, places[i][1] - py);
    const best = all.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    return distance(best) < NEAR ? best : null;
  }
  chart.addEventListener("pointermove", (event) => event.pointerType === "mouse" && show(nearest(event) ?? pinned));
  chart.addEventListener("pointerleave", () => show(pinned));
  chart.addEventListener("click", (event) => {
    pinned = nearest(event);
    show(pinned);
  });
  chart.addEventListener("keydown", (event) => {
    const now = dots.indexOf(document.activeElement);
    const along = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, -1], ArrowDown: [1, 1] }[event.key];
    if (event.key === "Escape") pinned = null;
    else if (event.key === "Enter" || event.key === " ") pinned = now;
    if (!along) {
      if (["Escape", "Enter", " "].includes(event.key)) {
        event.preventDefault();
        show(event.key === "Escape" ? null : now);
      }
      return;
    }
    event.preventDefault();
    const [coordinate, step] = along;
    const order = [...all].sort((i, j) => places[i][coordinate] - places[j][coordinate] || i - j);
    const next = order[Math.min(count - 1, Math.max(0, order.indexOf(now) + step))];
    dots[focusable].setAttribute("tabindex", -1);
    focusable = next;
    dots[next].setAttribute("tabindex", 0);
    dots[next].focus();
  });

  lab.append(node("div", { class: "gallery-controls" }, ...controls), legend, title, chart, foot, about);
  new ResizeObserver(() => room() === width || draw()).observe(title);
};

// A table whose headings sort it: that of the settings.
addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("#tab-gallery table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows], headings = [...table.tHead.rows[0].cells];
  const key = (row, at) => {
    const text = row.cells[at].textContent.trim();
    return text.startsWith("[") ? text.split(/\d+/).length : parseFloat(text.replace("−", "-"));
  };
  headings.forEach((heading, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "gallery-sort";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.scope = "col";
    button.addEventListener("click", () => {
      const sign = heading.ariaSort === "ascending" ? -1 : 1;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.ariaSort = sign === 1 ? "ascending" : "descending";
      table.tBodies[0].append(...rows.sort((a, b) => sign * (key(a, at) - key(b, at))));
    });
  });
});
