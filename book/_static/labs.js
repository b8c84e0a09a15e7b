// Small things to play with. `page.lab` in a notebook leaves an empty <div class="lab">; the lab named there takes
// the place of the figure named there, or follows what else has that name. Without JavaScript, and in print, the figure
// stays. A page that loads a script of its own may add a lab to `labs`.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  /** An element: node("p", {class: "x", onclick: f}, "text", child, …). */
  function node(tag, attributes = {}, ...children) {
    const svg = ["svg", "g", "line", "circle", "text", "path"].includes(tag);
    const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  /** An input that a browser does not fill with what stood there before: a lab begins at its beginning. */
  function input(type, attributes) {
    return node("input", { type, autocomplete: "off", ...attributes });
  }

  /** A number as the book prints it: a true minus, no trailing zeros. */
  function number(x, digits = 2) {
    return String(Number(x.toFixed(digits)) + 0).replace("-", "−");
  }

  /** A slider under its name and its number; `show` is called when it moves. */
  function slider(name, value, limit, step, show) {
    const shown = node("b");
    const handle = input("range", {
      min: -limit, max: limit, step, value, "aria-label": name,
      oninput: () => { say(); show(); },
    });
    const say = () => { shown.textContent = number(handle.valueAsNumber); };
    say();
    return { handle, label: node("label", { class: "lab-slider" }, node("span", {}, `${name}: `, shown), handle) };
  }

  /** Two fields for the vector `name`, which `move` changes; `vector()` is what it is now, and `set` writes it. */
  function vectorFields(name, { limit, step }, vector, move) {
    const fields = ["first", "second"].map((which, i) =>
      input("number", {
        step, min: -limit, max: limit, "aria-label": `${which} number of ${name}`,
        oninput: (event) => {
          if (!event.target.validity.valid || event.target.value === "") return;
          const to = [...vector()];
          to[i] = event.target.valueAsNumber;
          move(to);
        },
        onchange: (event) => { event.target.value = vector()[i]; },
      }),
    );
    function set() {
      fields.forEach((field, i) => {
        if (field !== document.activeElement || field.valueAsNumber !== vector()[i]) field.value = vector()[i];
      });
    }
    return { line: node("p", { class: "lab-vector" }, `${name} = (`, fields[0], ", ", fields[1], ")"), set };
  }

  /** A line that screen readers read out when it changes. */
  function spoken() {
    return node("p", { class: "lab-result", "aria-live": "polite" });
  }

  // Chapter 2: press genres; the multi-hot row (equation eq-multi-hot) beside the three places of the post.
  function multiHot(lab, { genre_ids: ids, places, largest_id: largest }) {
    const names = Object.keys(ids).sort();
    const chosen = new Set(names.filter((name) => ids[name] <= 2)); // a film that has lost nothing
    const buttons = names.map((name) =>
      node("button", { type: "button", class: "lab-bit", onclick: () => press(name) }, node("b"), ` ${name}`),
    );
    const facts = node("dl", { class: "lab-facts", "aria-live": "polite" });

    function press(name) {
      if (!chosen.delete(name)) chosen.add(name);
      show();
    }
    function fact(term, text) {
      facts.append(node("dt", {}, term), node("dd", {}, text));
    }
    function show() {
      for (const [i, name] of names.entries()) {
        buttons[i].setAttribute("aria-pressed", chosen.has(name));
        buttons[i].firstChild.textContent = chosen.has(name) ? "1" : "0";
      }
      const written = names.filter((name) => chosen.has(name)); // the files list genres by the alphabet
      const known = written.filter((name) => ids[name] <= largest);
      const kept = known.slice(-places); // cut from the front
      const row = [...kept.map((name) => ids[name]), ...Array(places - kept.length).fill(0)];
      const lost = written.filter((name) => !kept.includes(name));
      names.forEach((name, i) => buttons[i].classList.toggle("lab-lost", lost.includes(name)));
      const why = (name) => `${name} (${ids[name] > largest ? "too rare for an id" : "no place: cut from the front"})`;
      facts.replaceChildren();
      fact("In the file", written.join("|") || "nothing yet: press a genre");
      fact(`The post's ${places} places`, `[${row.join(", ")}]${kept.length ? ": " + kept.join(", ") : ""}`);
      fact("Lost on the way", lost.map(why).join(", ") || "nothing");
      fact("Multi-hot", `${names.length} numbers, ${written.length} of them 1: nothing lost`);
    }
    lab.append(
      node("p", {}, "Each button is a column of the row: 1 if pressed. Press the genres of a film of your own."),
      node("div", { class: "lab-bits", role: "group", "aria-label": "Genres of the film" }, ...buttons),
      facts,
    );
    show();
  }

  // Chapter 3: scores of films by two users are sums of weights (equation eq-first-order), of which two can be moved.
  function sameOrder(lab, { constant, weights, users, genres, moved }) {
    const films = Object.keys(genres);
    const left = 1.6, right = 8.4, bottom = 12.6, star = 2; // of the picture; a star is so high
    const svg = node("svg", { viewBox: "0 0.9 13.2 11.5", class: "lab-plane", role: "img" });
    const result = spoken();
    const sliders = moved.map((name) => slider(name, weights[name], 1, 0.1, show));
    const height = (score) => bottom - star * score;

    for (let i = 1; i <= 5; i += 1) {
      svg.append(node("line", { class: "lab-grid", x1: left, x2: right, y1: height(i), y2: height(i) }));
      svg.append(node("text", { class: "lab-tick", x: left - 0.4, y: height(i) + 0.25, "text-anchor": "end" }, `${i}`));
    }
    [left, right].forEach((x, i) => {
      svg.append(node("line", { class: "lab-axis", x1: x, x2: x, y1: height(5.6), y2: height(0.9) }));
      svg.append(node("text", { class: "lab-tick", x, y: height(0.3), "text-anchor": "middle" }, users[i]));
    });
    const lines = films.map((film, i) => {
      const ends = [left, right].map((cx) => node("circle", { cx, r: 0.26 }));
      const parts = [node("line", { x1: left, x2: right }), ...ends];
      const label = node("text", { class: "lab-label", x: right + 0.6 }, film);
      svg.append(node("g", { class: i ? "lab-b" : "lab-a" }, ...parts, label));
      return { parts, label };
    });
    function show() {
      const weight = (name) => sliders[moved.indexOf(name)]?.handle.valueAsNumber ?? weights[name];
      const mean = (names) => names.reduce((sum, name) => sum + weight(name), 0) / names.length;
      const score = (user, film) => constant + weight(user) + weight(film) + mean(genres[film]);
      const scores = films.map((film) => users.map((user) => Number(score(user, film).toFixed(6))));
      lines.forEach(({ parts: [line, ...ends], label }, i) => {
        users.forEach((_, j) => {
          line.setAttribute(`y${j + 1}`, height(scores[i][j]));
          ends[j].setAttribute("cy", height(scores[i][j]));
        });
        const above = scores[i][1] > scores[1 - i][1] || (i === 0 && scores[0][1] === scores[1][1]);
        const close = Math.max(0, 0.8 - star * Math.abs(scores[0][1] - scores[1][1])) / 2; // labels keep apart
        label.setAttribute("y", height(scores[i][1]) + 0.25 + (above ? -close : close));
      });
      const said = users.map((user, j) => {
        const order = [0, 1].sort((a, b) => scores[b][j] - scores[a][j]);
        const sign = scores[0][j] === scores[1][j] ? "=" : ">";
        return `${user}: ${order.map((i) => `${films[i]} ${scores[i][j].toFixed(1)}`).join(` ${sign} `)}`;
      });
      const apart = users.map((_, j) => Math.abs(scores[0][j] - scores[1][j]).toFixed(1));
      result.replaceChildren(
        ...said.map((text) => node("span", {}, text)),
        node(
          "span", {},
          "The films are ", node("b", {}, apart[0]), ` stars apart for ${users[0]} and `,
          node("b", {}, apart[1]), ` for ${users[1]}.`,
        ),
      );
      svg.setAttribute("aria-label", `A line from ${users.join(" to ")} for each film. ${said.join("; ")}`);
    }
    lab.append(
      node("p", {}, `The scores of ${users.join(" and ")}, in stars. Move two of the weights.`),
      node("div", { class: "lab-columns" }, svg, node("div", {}, ...sliders.map(({ label }) => label), result)),
    );
    show();
  }

  // Chapter 4: all dot products in a square, and the sum of the pairs two ways (equation eq-fm-fast).
  function square(lab, { names, vectors: start }) {
    const vectors = start.map((v) => [...v]);
    const range = { limit: 3, step: 0.5 };
    const dot = (v, w) => v[0] * w[0] + v[1] * w[1];
    const kind = (i, j) => (i < j ? "lab-pair" : i > j ? "lab-again" : "lab-self");
    const cells = names.map((_, i) => names.map((_, j) => node("td", { class: kind(i, j) })));
    const head = (name, scope) => node("th", { scope }, name);
    const table = node(
      "table", { class: "lab-square" },
      node("thead", {}, node("tr", {}, node("td"), ...names.map((name) => head(name, "col")))),
      node("tbody", {}, ...names.map((name, i) => node("tr", {}, head(name, "row"), ...cells[i]))),
    );
    const fields = names.map((name, i) =>
      vectorFields(name, range, () => vectors[i], (to) => {
        vectors[i] = to;
        show();
      }),
    );
    const result = spoken();

    function show() {
      const products = vectors.map((v) => vectors.map((w) => dot(v, w)));
      products.forEach((row, i) => row.forEach((x, j) => { cells[i][j].textContent = number(x); }));
      fields.forEach(({ set }) => set());
      const total = vectors.reduce((sum, v) => [sum[0] + v[0], sum[1] + v[1]]);
      const diagonal = products.reduce((sum, row, i) => sum + row[i], 0);
      const pairs = products.flatMap((row, i) => row.slice(i + 1));
      const sum = pairs.reduce((a, b) => a + b, 0);
      const terms = pairs.map((x, i) => (i ? (x < 0 ? " − " : " + ") + number(Math.abs(x)) : number(x))).join("");
      const whole = dot(total, total);
      result.replaceChildren(
        node("span", {}, `Dark, the ${pairs.length} pairs: ${terms} = `, node("b", {}, number(sum))),
        node("span", {}, `All, the square of the sum (${total.map((x) => number(x)).join(", ")}): ${number(whole)}`),
        node("span", {}, `Grey, the sum of the squares: ${number(diagonal)}`),
        node(
          "span", {},
          `½ (${number(whole)} − ${number(diagonal)}) = `, node("b", {}, number((whole - diagonal) / 2)),
        ),
      );
    }
    lab.append(
      node("p", {}, "Change the numbers of the vectors: halves from −3 to 3."),
      node("div", { class: "lab-columns" }, table, node("div", {}, ...fields.map(({ line }) => line))),
      result,
    );
    show();
  }

  // Chapter 4: two vectors; their dot product two ways (equation eq-fm-fast for one pair).
  function twoVectors(lab, start) {
    const ends = { a: [...start.a], b: [...start.b] };
    const limit = 3, step = 0.5; // the sum reaches twice as far
    const svg = node("svg", { viewBox: "-6.6 -6.6 13.2 13.2", class: "lab-plane", role: "img" });
    const result = spoken();
    const fields = ["a", "b"].map((name) =>
      vectorFields(name, { limit, step }, () => ends[name], (to) => move(name, to)),
    );

    for (let i = -2 * limit; i <= 2 * limit; i += 1) {
      const kind = i ? "lab-grid" : "lab-axis";
      svg.append(node("line", { class: kind, x1: i, x2: i, y1: -2 * limit, y2: 2 * limit }));
      svg.append(node("line", { class: kind, y1: i, y2: i, x1: -2 * limit, x2: 2 * limit }));
    }
    const arrows = {};
    for (const name of ["a", "b", "a + b"]) {
      const line = node("line", { x1: 0, y1: 0 });
      const head = name === "a + b" ? node("circle", { r: 0.12 }) : node("circle", { r: 0.34 });
      const label = node("text", { class: "lab-label" }, name);
      const kind = { a: "lab-a", b: "lab-b" }[name] ?? "lab-sum";
      svg.append(node("g", { class: kind }, line, head, label));
      arrows[name] = { line, head, label };
      if (name in ends) draggable(head, name);
    }
    function draggable(head, name) {
      head.classList.add("lab-handle");
      head.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        head.setPointerCapture(event.pointerId);
      });
      head.addEventListener("pointermove", (event) => {
        if (event.buttons !== 1 || !head.hasPointerCapture(event.pointerId)) return;
        const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        move(name, [at.x, -at.y]);
      });
    }
    function move(name, to) {
      ends[name] = to.map((x) => Math.min(limit, Math.max(-limit, Math.round(x / step) * step)));
      show();
    }
    function show() {
      const { a, b } = ends;
      const sum = [a[0] + b[0], a[1] + b[1]];
      for (const [name, [x, y]] of Object.entries({ a, b, "a + b": sum })) {
        const { line, head, label } = arrows[name];
        line.setAttribute("x2", x);
        line.setAttribute("y2", -y);
        head.setAttribute("cx", x);
        head.setAttribute("cy", -y);
        label.setAttribute("x", Math.min(4.7, x + 0.45));
        label.setAttribute("y", Math.max(-5.9, -y - 0.4));
      }
      fields.forEach(({ set }) => set());
      const square = (v) => v[0] ** 2 + v[1] ** 2;
      const dot = a[0] * b[0] + a[1] * b[1];
      const squares = [sum, a, b].map(square);
      const fast = (squares[0] - squares[1] - squares[2]) / 2;
      const meaning =
        dot > 0 ? "The pair raises the score." : dot < 0 ? "The pair lowers the score." : "The pair says nothing.";
      const signed = (x) => (x < 0 ? `(${number(x)})` : number(x));
      const product = (i) => `${signed(a[i])} · ${signed(b[i])}`;
      result.replaceChildren(
        node("span", {}, `a · b = ${product(0)} + ${product(1)} = `, node("b", {}, number(dot))),
        node(
          "span", {},
          "½ (‖a + b‖² − ‖a‖² − ‖b‖²) ",
          node(
            "span", { class: "lab-whole" },
            `= ½ (${squares.map((x) => number(x)).join(" − ")}) = `, node("b", {}, number(fast)),
          ),
        ),
        node("span", {}, meaning),
      );
      svg.setAttribute("aria-label", `Arrows a to ${a.map((x) => number(x))}, b to ${b.map((x) => number(x))}, and their sum`);
    }
    lab.append(
      node("p", {}, "Move the two arrow heads, or type halves from −3 to 3."),
      node("div", { class: "lab-columns" }, svg, node("div", {}, ...fields.map(({ line }) => line), result)),
    );
    show();
  }

  // Chapter 5: stars over the sum s of three signs, to be met by what pairs draw, or three ReLUs (equation eq-zigzag).
  function bends(lab, { s: sums, stars, biases }) {
    const wide = 1.5, high = 1.5, edge = 3.5; // of the picture
    const svg = node("svg", { viewBox: "-6.6 -6 13.2 12", class: "lab-plane", role: "img" });
    const result = spoken();
    const signed = (x) => `${x < 0 ? "−" : "+"} ${Math.abs(x)}`;
    const models = {
      "single weights and pairs": { s: (s) => s, "½ (s² − 3), the pairs": (s) => (s * s - 3) / 2 },
      "three hidden units": Object.fromEntries(
        biases.map((b) => [`max(0, s ${signed(b)})`, (s) => Math.max(0, s + b)]),
      ),
    };
    const parts = Object.entries(models).map(([name, terms]) => {
      const sliders = [...Object.keys(terms).map((term) => `weight of ${term}`), "constant"].map((label) =>
        slider(label, 0, 3, 0.5, show),
      );
      const group = node("div", { role: "group", "aria-label": name }, ...sliders.map(({ label }) => label));
      const output = (s) =>
        [...Object.values(terms), () => 1].reduce((y, f, i) => y + sliders[i].handle.valueAsNumber * f(s), 0);
      const button = node("button", { type: "button", class: "lab-bit", onclick: () => choose(name) }, name);
      return { name, group, output, button };
    });
    let chosen = parts[0];

    const tick = (x, y, text, anchor) => node("text", { class: "lab-tick", x, y, "text-anchor": anchor }, text);
    const ticks = [tick(0, 5.75, "s", "middle")];
    for (const x of [-3, -1, 1, 3]) {
      svg.append(node("line", { class: "lab-grid", x1: wide * x, x2: wide * x, y1: -5, y2: 5 }));
      ticks.push(tick(wide * x, 5.75, number(x), "middle"));
    }
    for (const y of [-3, -2, -1, 0, 1, 2, 3]) {
      const kind = y ? "lab-grid" : "lab-axis";
      svg.append(node("line", { class: kind, x1: -wide * edge, x2: wide * edge, y1: -high * y, y2: -high * y }));
      ticks.push(tick(-wide * edge - 0.3, -high * y + 0.25, number(y), "end"));
    }
    const curve = node("path", { class: "lab-curve" });
    const points = [...new Set(sums)].map((s) => ({ s, y: stars[sums.indexOf(s)] }));
    const misses = points.map(({ s, y }) => node("line", { x1: wide * s, x2: wide * s, y1: -high * y }));
    svg.append(
      node("g", { class: "lab-sum" }, ...misses),
      curve,
      ...points.map(({ s, y }) => node("circle", { class: "lab-point", cx: wide * s, cy: -high * y, r: 0.3 })),
      ...ticks,
    );
    function choose(name) {
      chosen = parts.find((part) => part.name === name);
      show();
    }
    function show() {
      for (const { button, group, name } of parts) {
        button.setAttribute("aria-pressed", name === chosen.name);
        group.hidden = name !== chosen.name;
      }
      const at = (s) => Math.min(40, Math.max(-40, -high * chosen.output(s))); // far outside of the picture at most
      const xs = Array.from({ length: 145 }, (_, i) => edge * (i / 72 - 1));
      curve.setAttribute("d", `M${xs.map((s) => `${(wide * s).toFixed(2)} ${at(s).toFixed(2)}`).join("L")}`);
      points.forEach(({ s }, i) => misses[i].setAttribute("y2", at(s)));
      const errors = sums.map((s, i) => chosen.output(s) - stars[i]);
      const rmse = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length);
      const met = errors.filter((e) => e === 0).length;
      result.replaceChildren(
        node("span", {}, "Error (RMSE): ", node("b", {}, rmse.toFixed(2)), " stars"),
        node("span", {}, "Rows met: ", node("b", {}, `${met}`), ` of ${errors.length}`),
      );
      const told = points.map(({ s, y }) => `at s = ${number(s)}, ${number(y)} and ${number(chosen.output(s))}`);
      svg.setAttribute("aria-label", `Stars and the output of the model: ${told.join("; ")}`);
    }
    lab.append(
      node("p", {}, "Choose a model and move its weights until its line meets the circles, the stars."),
      node("div", { class: "lab-bits", role: "group", "aria-label": "Model" }, ...parts.map(({ button }) => button)),
      node("div", { class: "lab-columns" }, svg, node("div", {}, ...parts.map(({ group }) => group), result)),
    );
    show();
  }

  // Chapter 9: the share of each part (equation eq-shares) as the vectors grow.
  function shares(lab, { k: lengths, shares: table, rmse }) {
    const parts = Object.keys(table);
    const slider = input("range", {
      min: 0, max: lengths.length - 1, step: 1, value: 0, "aria-label": "length k of the vectors",
      oninput: () => show(),
    });
    const shown = node("b");
    const bars = parts.map((part, i) => {
      const bar = node("span", { class: `lab-bar lab-part-${i + 1}` });
      const value = node("b");
      return { bar, value, row: node("tr", {}, node("th", { scope: "row" }, part), node("td", {}, bar), node("td", {}, value)) };
    });
    const error = spoken();

    function show() {
      const at = slider.valueAsNumber;
      shown.textContent = lengths[at];
      slider.setAttribute("aria-valuetext", `k = ${lengths[at]}`);
      bars.forEach(({ bar, value }, i) => {
        const share = 100 * table[parts[i]][at];
        bar.style.width = `${Math.max(share, 0)}%`;
        value.textContent = `${number(share, 0)}%`;
      });
      const said = parts.map((part, i) => `${part} ${bars[i].value.textContent}`).join(", ");
      error.textContent = `With vectors of length ${lengths[at]}: ${said}. RMSE of the whole: ${rmse[at].toFixed(3)} stars.`;
    }
    lab.append(
      node("label", { class: "lab-slider" }, node("span", {}, "length of the vectors: k = ", shown), slider),
      node("table", { class: "lab-bars" }, node("tbody", {}, ...bars.map(({ row }) => row))),
      error,
    );
    show();
  }

  // Chapter 16: a slope and a constant for the log-odds of a model (equation eq-scale); rows with about the same score
  // stand together: their log-odds, how many they are, and how many of them are clicks.
  function bets(lab, { log_odds: scores, rows, clicks, auc, fitted }) {
    const side = 10; // of the picture
    const total = (numbers) => numbers.reduce((sum, x) => sum + x, 0);
    const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
    const all = total(rows), share = total(clicks) / all;
    const entropy = -share * Math.log(share) - (1 - share) * Math.log(1 - share);
    let before = 0;
    const group = rows.map((n) => { // ten groups of about as many rows, from the lowest scores to the highest
      before += n;
      return Math.min(9, Math.floor((10 * (before - n / 2)) / all));
    });
    const setting = (name, min, max, value) => {
      const shown = node("b");
      const handle = input("range", { min, max, step: 0.01, value, "aria-label": name, oninput: () => show() });
      return { handle, shown, label: node("label", { class: "lab-slider" }, node("span", {}, `${name} = `, shown), handle) };
    };
    const slope = setting("slope a", 0.3, 3, 1), constant = setting("constant c", -2, 2, 0);
    const result = spoken();
    const svg = node("svg", { viewBox: "-1.9 -1.7 12.8 13.8", class: "lab-plane", role: "img" });
    const tick = (x, y, text, anchor) => node("text", { class: "lab-tick", x, y, "text-anchor": anchor }, text);
    const ticks = [tick(side / 2, 11.85, "what the model says", "middle"), tick(-1.8, -0.75, "share of clicks", "start")];
    for (const at of [0, 0.25, 0.5, 0.75, 1]) {
      const on = side * at;
      svg.append(
        node("line", { class: "lab-grid", x1: on, x2: on, y1: 0, y2: side }),
        node("line", { class: "lab-grid", x1: 0, x2: side, y1: on, y2: on }),
      );
      ticks.push(tick(on, 10.9, number(at), "middle"), tick(-0.3, side - on + (at < 1 ? 0.25 : 0.6), number(at), "end"));
    }
    const curve = node("path", { class: "lab-curve" });
    const points = Array.from({ length: 10 }, () => node("circle", { class: "lab-point", r: 0.25 }));
    svg.append(node("line", { class: "lab-axis", x1: 0, y1: side, x2: side, y2: 0 }), curve, ...points, ...ticks);

    function show() {
      const [a, c] = [slope, constant].map(({ handle, shown }) => {
        shown.textContent = number(handle.valueAsNumber);
        return handle.valueAsNumber;
      });
      const odds = scores.map((s) => a * s + c);
      const loss = total(odds.map((z, i) => clicks[i] * softplus(-z) + (rows[i] - clicks[i]) * softplus(z))) / all;
      const said = odds.map((z) => 1 / (1 + Math.exp(-z)));
      const at = points.map((_, g) => {
        const of = rows.map((n, i) => (group[i] === g ? n : 0));
        const n = total(of) || 1;
        return [total(of.map((m, i) => m * said[i])) / n, total(of.map((m, i) => (m ? clicks[i] : 0))) / n];
      });
      at.forEach(([x, y], g) => {
        points[g].setAttribute("cx", (side * x).toFixed(3));
        points[g].setAttribute("cy", (side * (1 - y)).toFixed(3));
      });
      curve.setAttribute("d", `M${at.map(([x, y]) => `${(side * x).toFixed(2)} ${(side * (1 - y)).toFixed(2)}`).join("L")}`);
      const told = at.map(([x, y]) => `${number(x)} and ${number(y)}`);
      svg.setAttribute("aria-label", `In ten groups of rows, what the model says and the share of clicks: ${told.join("; ")}`);
      result.replaceChildren(
        node("span", {}, "Log-loss: ", node("b", {}, loss.toFixed(4))),
        node("span", {}, "Normalised entropy: ", node("b", {}, (loss / entropy).toFixed(4))),
        node("span", {}, "AUC: ", node("b", {}, auc.toFixed(4)), ", whatever you choose"),
        node("span", {}, "It says ", node("b", {}, (total(said.map((p, i) => p * rows[i])) / all).toFixed(3)), " on average; the share of clicks is ", node("b", {}, share.toFixed(3))),
      );
    }
    const choose = (name, [a, c]) =>
      node("button", {
        type: "button", class: "lab-bit",
        onclick: () => { slope.handle.value = a; constant.handle.value = c; show(); },
      }, name);
    lab.append(
      node("p", {}, "Find the slope and the constant with the lowest log-loss on these test rows. Then look at what the validation rows have chosen. (Rows with nearly the same score stand together here, so a last digit can differ from the tables.)"),
      node("div", { class: "lab-bits" }, choose("as trained", [1, 0]), choose("doubled", [2, 0]), choose("fitted on validation rows", fitted)),
      node("div", { class: "lab-columns" }, svg, node("div", {}, slope.label, constant.label, result)),
    );
    show();
  }

  const BESIDE = ["bends", "bets", "shares", "one-vector"]; // the figure stays: it shows at a glance what the lab shows step by step
  const labs = (window.labs = {
    "multi-hot": multiHot, "same-order": sameOrder, square, "two-vectors": twoVectors, bends, shares,
    "one-vector": oneVector, "leave-out": leaveOut, "popular-or-taste": popularOrTaste, bets,
  });

  addEventListener("DOMContentLoaded", () => {
    for (const lab of document.querySelectorAll(".lab")) {
      const place = document.getElementById(lab.dataset.figure);
      labs[lab.dataset.lab](lab, JSON.parse(lab.dataset.values), { node });
      if (place.tagName !== "FIGURE") {
        place.after(lab);
        continue;
      }
      if (!BESIDE.includes(lab.dataset.lab)) place.querySelector("img").classList.add("lab-static");
      place.prepend(lab);
    }
  });

  /** A row of a table: row("th", "a") for its head, row("td", "a", element) for its cells. */
  function row(tag, ...cells) {
    return node("tr", {}, ...cells.map((cell) => node(tag, tag === "th" ? { scope: "col" } : {}, cell)));
  }

  /** A number of stars that something adds, with its sign. */
  function added(x, digits = 3) {
    const text = Math.abs(x).toFixed(digits);
    return (x < 0 && Number(text) ? "−" : "+") + text;
  }

  // Chapter 6: a film's vector times a factor, and what becomes of the parts of one score (equation eq-deepfm).
  function oneVector(lab, { factors, parts: table, constant }) {
    const parts = Object.keys(table);
    const low = Math.min(0, ...Object.values(table).flat()), high = Math.max(0, ...Object.values(table).flat());
    const percent = (stars) => `${(100 * stars) / (high - low)}%`;
    const trained = factors.indexOf(1);
    const slider = input("range", {
      min: 0, max: factors.length - 1, step: 1, value: trained, "aria-label": "factor of the film's vector",
      oninput: () => show(),
    });
    const flip = node("button", {
      type: "button", class: "lab-bit",
      onclick: () => {
        slider.value = factors.indexOf(-factors[slider.valueAsNumber]);
        show();
      },
    }, "Flip the vector");
    const shown = node("b");
    const bars = parts.map((part, i) => {
      const bar = node("span", { class: `lab-bar lab-part-${i + 1}` });
      const track = node("span", { class: "lab-track", style: `--zero: ${percent(-low)}` }, bar);
      const [value, step] = [node("b"), node("span")];
      const cells = [track, value, step].map((cell) => node("td", {}, cell));
      return { bar, value, step, row: node("tr", {}, node("th", { scope: "row" }, part), ...cells) };
    });
    const result = spoken();

    function show() {
      const at = slider.valueAsNumber;
      const score = (place) => parts.reduce((sum, part) => sum + table[part][place], constant).toFixed(2);
      shown.textContent = number(factors[at]);
      slider.setAttribute("aria-valuetext", `times ${number(factors[at])}`);
      bars.forEach(({ bar, value, step }, i) => {
        const stars = table[parts[i]];
        bar.style.marginLeft = percent(Math.min(stars[at], 0) - low);
        bar.style.width = percent(Math.abs(stars[at]));
        value.textContent = added(stars[at]);
        step.textContent = at + 1 < factors.length ? added(stars[at + 1] - stars[at]) : "–";
      });
      const said = parts.map((part, i) => `${part} ${bars[i].value.textContent}`).join(", ");
      result.textContent =
        `Vector times ${number(factors[at])}: ${said}. The score is ${score(at)} stars; ` +
        `as trained, it is ${score(trained)}.`;
    }
    lab.append(
      node("label", { class: "lab-slider" }, node("span", {}, "the film's vector, times ", shown), slider),
      node("p", {}, flip),
      node(
        "table", { class: "lab-bars lab-signed" },
        node("thead", {}, row("th", "part", "", "stars", "next step")),
        node("tbody", {}, ...bars.map(({ row }) => row)),
      ),
      result,
    );
    show();
  }

  // Chapter 9: scores and RMSE without some of the parts, with the others as they are or trained again.
  function leaveOut(lab, { parts, constant, rows, rmse }) {
    const kept = new Set(parts);
    const buttons = parts.map((part) =>
      node("button", { type: "button", class: "lab-bit", onclick: () => press(part) }, node("b"), ` ${part}`),
    );
    const again = input("checkbox", { onchange: () => show() });
    const scores = rows.map(() => node("b"));
    const result = spoken();

    function press(part) {
      if (!kept.delete(part)) kept.add(part);
      show();
    }
    /** The score of a row: the constant and what the parts add, or what the model with these parts alone says. */
    function score({ adds, alone }, set) {
      if (again.checked) return alone[set];
      return parts.reduce((sum, part, i) => sum + (kept.has(part) ? adds[i] : 0), constant);
    }
    function show() {
      const left = parts.filter((part) => kept.has(part));
      const set = left.join(", ");
      for (const [i, part] of parts.entries()) {
        buttons[i].setAttribute("aria-pressed", kept.has(part));
        buttons[i].firstChild.textContent = kept.has(part) ? "+" : "–";
      }
      rows.forEach((of, i) => { scores[i].textContent = score(of, set).toFixed(2); });
      const error = (again.checked ? rmse.again : rmse.stays)[set];
      const how = again.checked && left.length < parts.length ? ", trained without the others" : "";
      result.textContent =
        `In the score: ${set || "the constant alone"}${set ? how : ""}. RMSE on all rows set aside: ` +
        `${error.toFixed(3)} stars; with all three parts, ${rmse.stays[parts.join(", ")].toFixed(3)}.`;
    }
    const whole = ({ adds }) => adds.reduce((sum, x) => sum + x, constant).toFixed(2);
    lab.append(
      node("p", {}, "Press a part to leave it out of the score, or to put it back."),
      node("div", { class: "lab-bits", role: "group", "aria-label": "Parts in the score" }, ...buttons),
      node("label", { class: "lab-check" }, again, " train the parts that stay again, without the others"),
      node(
        "table", { class: "lab-rows" },
        node("thead", {}, row("th", "film", "rating", "all parts", "now")),
        node("tbody", {}, ...rows.map((of, i) => row("td", of.film, String(of.rating), whole(of), scores[i]))),
      ),
      result,
    );
    show();
  }

  // Chapter 12: one user's list, ranked by (1 − t) · score + t · log(1 + ratings).
  function popularOrTaste(lab, { films, n, liked }) {
    const slider = input("range", {
      min: 0, max: 1, step: 0.05, value: 0, "aria-label": "weight of popularity", oninput: () => show(),
    });
    const shown = node("b");
    const list = node("tbody");
    const result = spoken();

    function show() {
      const t = slider.valueAsNumber;
      const rank = ({ score, ratings }) => (1 - t) * score + t * Math.log1p(ratings);
      const best = [...films].sort((a, b) => rank(b) - rank(a)).slice(0, n); // ties stay in the order of the ids
      const hits = best.filter(({ hit }) => hit).length;
      const mean = best.reduce((sum, { ratings }) => sum + ratings, 0) / best.length;
      shown.textContent = t.toFixed(2);
      slider.setAttribute("aria-valuetext", `${Math.round(100 * t)}% popularity`);
      list.replaceChildren(
        ...best.map(({ title, ratings, hit }) => row("td", title, String(ratings), hit ? node("b", {}, "✓") : "")),
      );
      result.textContent =
        `The films listed have ${number(mean, 0)} ratings on average. On the list: ${hits} of the ${liked} films ` +
        "that the user liked in the test rows.";
    }
    lab.append(
      node("label", { class: "lab-slider" }, node("span", {}, "weight of popularity: t = ", shown), slider),
      node("p", { class: "lab-ends", "aria-hidden": "true" }, node("span", {}, "the model's score"), node("span", {}, "popularity")),
      result,
      node("table", { class: "lab-rows" }, node("thead", {}, row("th", "film", "ratings", "liked")), list),
    );
    show();
  }
})();
