// Small things to play with. `page.lab` in a notebook leaves an empty <div class="lab">; the lab named there takes
// the place of the figure named there. Without JavaScript, and in print, the figure stays. A page that loads a script
// of its own may add a lab to `labs`.
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

  // Chapter 4: two vectors; their dot product two ways (equation eq-fm-fast for one pair).
  function twoVectors(lab, start) {
    const ends = { a: [...start.a], b: [...start.b] };
    const limit = 3, step = 0.5; // the sum reaches twice as far
    const svg = node("svg", { viewBox: "-6.6 -6.6 13.2 13.2", class: "lab-plane", role: "img" });
    const result = spoken();
    const fields = {};

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
        move(name, at.x, -at.y);
      });
    }
    function move(name, ...to) {
      ends[name] = to.map((x) => Math.min(limit, Math.max(-limit, Math.round(x / step) * step)));
      show();
    }
    function coordinates(name) {
      fields[name] = ["first", "second"].map((which, i) =>
        input("number", {
          step, min: -limit, max: limit, "aria-label": `${which} number of ${name}`,
          oninput: (event) => {
            if (!event.target.validity.valid || event.target.value === "") return;
            const to = [...ends[name]];
            to[i] = event.target.valueAsNumber;
            move(name, ...to);
          },
          onchange: (event) => { event.target.value = ends[name][i]; },
        }),
      );
      return node("p", { class: "lab-vector" }, `${name} = (`, fields[name][0], ", ", fields[name][1], ")");
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
      for (const name of ["a", "b"]) {
        fields[name].forEach((field, i) => {
          if (field !== document.activeElement || field.valueAsNumber !== ends[name][i]) field.value = ends[name][i];
        });
      }
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
      node("div", { class: "lab-columns" }, svg, node("div", {}, coordinates("a"), coordinates("b"), result)),
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
        value.textContent = `${number(share, 0)}\u00a0%`;
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

  const BESIDE = ["shares", "one-vector"]; // the figure stays: it shows at a glance what the lab shows step by step
  const labs = (window.labs = {
    "multi-hot": multiHot,
    "two-vectors": twoVectors,
    shares,
    "one-vector": oneVector,
    "leave-out": leaveOut,
    "popular-or-taste": popularOrTaste,
  });

  addEventListener("DOMContentLoaded", () => {
    for (const lab of document.querySelectorAll(".lab")) {
      const figure = document.getElementById(lab.dataset.figure);
      labs[lab.dataset.lab](lab, JSON.parse(lab.dataset.values), { node });
      if (!BESIDE.includes(lab.dataset.lab)) figure.querySelector("img").classList.add("lab-static");
      figure.prepend(lab);
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
