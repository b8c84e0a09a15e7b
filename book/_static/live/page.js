"use strict";
/* The page "The model, live": one person or two, the waterfall of terms, the lists of ten, and an address that holds all
   of it. All numbers come from deepfm.js. */

(() => {
  const place = document.getElementById("live");
  if (!place || !window.DEEPFM_MODEL) return; // the page then keeps its figure

  const model = DeepFM.load(window.DEEPFM_MODEL);
  const judge = model.lists ?? model; // chooses the films of a list
  const { fields, films, people } = model;
  const traits = fields.filter((f) => f.side === "user" && f.name !== "uid");
  const several = (f) => Array.isArray(people[f.name][0]); // whether a person can have several values
  const PARTS = {
    first: { name: "First order", one: "the first order", equation: "eq-first-order" },
    pairs: { name: "Second order", one: "the second order", equation: "eq-pairs" },
    deep: { name: "Deep part", one: "the deep part", equation: "eq-deep" },
  };
  const LETTERS = ["A", "B"];
  const MOST_LIKES = 5;
  const TEN = 10;
  const wide = window.matchMedia("(min-width: 60rem)").matches;

  // ---------------------------------------------------------------- what is chosen, and what follows from it

  const busiest = films.rows.indexOf(Math.max(...films.rows));
  const valuesOf = (person) => Object.fromEntries(traits.map((f) => [f.name, person < 0 ? 0 : people[f.name][person]]));
  const aPerson = (person) => ({ person, values: valuesOf(person), likes: [] }); // −1: someone new; never changed in place
  const start = () => ({ people: [aPerson(0)], film: busiest, off: {}, folded: { pairs: !wide } });
  let state = start();
  let seen = []; // films that leave the lists
  let shown = []; // the terms of each person on the page
  let last = null; // the terms before the last change, and what it was

  const isOwn = (f) => f.side === "user" && f.values === null; // uid or taste: what the model learned of one person
  const rowsOf = (f, film) => (f.values === null ? film + 1 : films[f.name][film]);
  const filmEntries = new Map([model, judge].map((m) => [m, []]));
  function entriesOf(m, who, own, film) {
    const known = filmEntries.get(m);
    known[film] ??= m.fields.map((f, i) => f.side === "film" && DeepFM.lookUp(m, i, rowsOf(f, film)));
    return m.fields.map((f, i) => {
      if (isOwn(f)) return own;
      return f.side === "film" ? known[film][i] : DeepFM.lookUp(m, i, who.values[f.name]);
    });
  }

  const owns = new Map([model, judge].map((m) => [m, new WeakMap()]));
  function ownEntry(m, who) {
    if (!owns.get(m).has(who)) owns.get(m).set(who, computed());
    return owns.get(m).get(who);

    function computed() {
      const i = m.fields.findIndex(isOwn);
      if (m === model && who.person >= 0) return DeepFM.lookUp(m, i, people.row[who.person]);
      if (m === model) return DeepFM.newUser(m, (uid, film) => entriesOf(m, who, uid, film), who.likes);
      if (who.person >= 0) return DeepFM.lookUp(m, i, films.title.length + 1 + who.person);
      return DeepFM.taste(m, i, who.likes);
    }
  }

  const termsOf = (m, who, film) => DeepFM.terms(m, entriesOf(m, who, ownEntry(m, who), film));
  const scoreOf = (m, who, film) => DeepFM.score(termsOf(m, who, film), state.off);

  function ratingOf(who, film) {
    const ratings = who.person >= 0 && people.ratings && people.ratings[who.person];
    const stars = ratings && (ratings.test[film] ?? ratings.train[film]);
    return stars ? { stars, heldOut: film in ratings.test } : null;
  }

  /** The best films for someone who has not seen them, as far as the page knows. */
  function topFilms(who) {
    const out = new Set([...seen, ...who.likes]);
    const open = (film) => films.rows[film] > 0 && !out.has(film) && (ratingOf(who, film)?.heldOut ?? true);
    const scored = films.title.map((_, film) => film).filter(open)
      .map((film) => ({ film, score: scoreOf(judge, who, film) }));
    return scored.sort((a, b) => b.score - a.score || a.film - b.film).slice(0, TEN).map(({ film }) => film);
  }

  // -------------------------------------------------------------------------- the address, and what a browser keeps

  const DATA = model.fingerprint.slice(0, 8);
  const KEPT = `deepfm-seen-${DATA}`;

  /** The films that this browser remembers as seen; none where it may not remember. */
  function remembered() {
    try {
      return JSON.parse(localStorage.getItem(KEPT) ?? "[]").filter((film) => Number.isInteger(film) && film in films.title);
    } catch { return []; }
  }

  /** What stands behind the # of an address: all that is chosen, and which data its numbers belong to. */
  function written() {
    const query = new URLSearchParams({ data: DATA });
    state.people.forEach((who, at) => {
      const to = LETTERS[at];
      query.set(to, who.person < 0 ? "new" : people.uid[who.person]);
      const usual = valuesOf(who.person);
      for (const { name } of traits) {
        if (String(who.values[name]) !== String(usual[name])) query.set(`${to}-${name}`, [who.values[name]].flat().join("."));
      }
      if (who.likes.length) query.set(`${to}-likes`, who.likes.join("."));
    });
    query.set("film", state.film);
    const off = Object.keys(PARTS).filter((part) => state.off[part]);
    if (off.length) query.set("without", off.join("."));
    if (seen.length) query.set("seen", seen.join("."));
    return query.toString();
  }

  /** The state and the seen films of such a text; null if it is a place on the page. Throws an Error with the reason. */
  function read(text) {
    const query = new URLSearchParams(text);
    if (!query.has("data")) return null;
    if (query.get("data") !== DATA) throw new Error("it was made with other ratings than those of this page");
    const refuse = (name) => { throw new Error(`this page cannot use “${name}=${query.get(name) ?? ""}”`); };
    const list = (name, below) => (query.get(name) || "").split(".").filter(Boolean).map((word) => {
      return /^\d{1,6}$/.test(word) && Number(word) < below ? Number(word) : refuse(name);
    });
    const some = (name) => [...new Set(list(name, films.title.length))];
    const said = start();
    said.people = LETTERS.filter((to, at) => at === 0 || query.has(to)).map((to) => {
      const person = people.uid.findIndex((uid) => String(uid) === query.get(to));
      if (person < 0 && query.get(to) !== "new") refuse(to);
      const who = { ...aPerson(person), likes: some(`${to}-likes`) };
      if (who.likes.length > (person < 0 ? MOST_LIKES : 0)) refuse(`${to}-likes`);
      for (const f of traits.filter(({ name }) => query.has(`${to}-${name}`))) {
        const rows = list(`${to}-${f.name}`, f.values.length + 1);
        if (!several(f) && rows.length !== 1) refuse(`${to}-${f.name}`);
        who.values[f.name] = several(f) ? rows : rows[0];
      }
      return who;
    });
    [said.film] = list("film", films.title.length);
    if (said.film === undefined) refuse("film");
    for (const part of (query.get("without") || "").split(".").filter(Boolean)) {
      if (!(part in PARTS)) refuse("without");
      said.off[part] = true;
    }
    return { state: said, seen: some("seen") };
  }

  /** Takes over what the address says; otherwise begins as usual, with a sentence if the address says nothing usable. */
  function open() {
    let found = null;
    try {
      found = read(location.hash.slice(1));
      warning.textContent = "";
      if (!found && shown.length) return; // a place on the page: nothing else changes
    } catch (error) {
      warning.textContent = `The address cannot be used: ${error.message}. So the page shows its usual beginning.`;
    }
    ({ state, seen } = found ?? { state: start(), seen: remembered() });
    last = null;
    render();
    showAddress();
  }

  function showAddress() {
    address.value = `${location.href.split("#")[0]}#${written()}`;
    copied.textContent = "";
  }

  function toAddress(hash) {
    try {
      history.replaceState(null, "", hash ? `#${hash}` : location.href.split("#")[0]);
    } catch { /* some browsers allow few changes in a minute */ }
    showAddress();
  }

  // ------------------------------------------------------------------------------------------ words and numbers

  const signed = (x, digits = 3) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits);
  const stars = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
  const named = (who) => (who.person >= 0 ? `user ${people.uid[who.person]}` : "someone new");
  const label = (f, rows) => [rows].flat().map((row) => (row ? f.values[row - 1] : "not given")).join(", ") || "none";
  const described = (i) => [`user ${people.uid[i]}`, ...traits.map((f) => label(f, people[f.name][i]))].join(", ");
  const valueOf = (f, who) => {
    if (f.name === "uid" && who.person < 0) return who.likes.length ? "mixture of users" : "average user";
    if (f.name === "uid") return named(who);
    if (f.name === "mid") return films.title[state.film];
    return label(f, f.side === "user" ? who.values[f.name] : films[f.name][state.film]);
  };
  const both = (one, other) => (other === undefined || one === other ? one : `${one} | ${other}`);

  // -------------------------------------------------------------------------------------------------- elements

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true || value === false) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  const equations = {};
  for (const link of document.querySelectorAll(".live-equations a[href*='#']")) {
    equations[link.hash.replace("#equation-", "")] = link;
  }
  function linked(text, equation) {
    const link = equations[equation];
    if (!link) return text;
    return make("a", { href: link.href, title: `equation ${link.textContent.trim()}` }, text);
  }

  // A press of the mouse or a finger first takes the focus away from a text field. What is typed there then waits for
  // the click, under which nothing may move.
  let pressing = false;
  addEventListener("mousedown", () => { pressing = true; setTimeout(() => { pressing = false; }); }, true);

  /** A labelled text field that suggests titles. `choose` gets the position of the film that was typed, on Enter or when
      the field is left; Escape, and a change elsewhere, return to `chosen()`. */
  function titleSearch(id, text, chosen, choose) {
    const note = make("span", { class: "live-note", id: `${id}-note`, role: "status" });
    const found = (wanted) => {
      const lower = wanted.trim().toLowerCase();
      const exact = films.title.findIndex((title) => title.toLowerCase() === lower);
      if (exact >= 0 || !lower) return exact;
      const fit = films.title.map((title) => { // whole words before parts of words, then what was rated most
        const at = title.toLowerCase().indexOf(lower);
        return at < 0 ? 0 : /\w/.test(title[at + lower.length] ?? "") ? 1 : 2;
      });
      const better = (a, b) => fit[a] - fit[b] || films.rows[a] - films.rows[b];
      const best = fit.map((_, i) => i).reduce((a, b) => (better(b, a) > 0 ? b : a));
      return fit[best] ? best : -1;
    };
    let typed = false; // and not taken yet
    const say = (words) => { note.textContent = words; };
    const show = () => { [typed, input.value] = [false, chosen()]; say(""); };
    const take = () => {
      if (!typed) return;
      typed = false;
      const film = found(input.value);
      if (film >= 0) choose(film);
      else if (input.value.trim()) say(`No title contains “${input.value}”.`);
      else show();
    };
    const left = () => document.activeElement === input || take(); // it is not left for another window
    const input = make("input", {
      id, list: "live-titles", type: "text", spellcheck: "false", enterkeyhint: "go",
      "aria-describedby": note.id,
      onfocus: () => input.select(),
      oninput: () => {
        typed = true;
        say("");
        if (films.title.includes(input.value)) take(); // a suggestion was picked
      },
      onkeydown: ({ key }) => { if (key === "Enter") take(); else if (key === "Escape") show(); },
      onblur: () => { if (pressing) addEventListener("click", left, { once: true }); else left(); },
    });
    return { input, say, show, box: make("div", { class: "live-control" }, make("label", { for: id }, text), input, note) };
  }

  const titles = make("datalist", { id: "live-titles" }, ...films.title.map((t) => make("option", { value: t })));
  const control = (text, select) =>
    make("div", { class: "live-control" }, make("label", { for: select.id }, text), select);

  /** Films as a row of titles, each with a button that removes it. */
  function chips(words, verb, remove, next) {
    const list = make("ul", { class: "live-chips", "aria-label": words });
    const show = (some) => list.replaceChildren(...some.map((i, at) => make("li", {}, films.title[i], make("button", {
      type: "button", "aria-label": `${verb} ${films.title[i]}`,
      onclick: () => {
        remove(i);
        const left = list.querySelectorAll("button");
        (left[Math.min(at, left.length - 1)] ?? next).focus();
      },
    }, "×"))));
    return { list, show };
  }

  /** What can be set of person A or B. */
  function personForm(at) {
    const id = (name) => `live-${name}${at ? "-b" : ""}`;
    const edit = (changes, what) => change(() => {
      state.people = state.people.map((who, i) => (i === at ? { ...who, ...changes } : who));
    }, what);

    const user = make("select", {
      id: id("user"), onchange: () => edit(aPerson(Number(user.value)), "another user"),
    }, make("option", { value: -1 }, "someone new: describe below"),
    ...people.uid.map((_, i) => make("option", { value: i }, described(i))));

    const selects = traits.map((f) => make("select", {
      id: id(f.name),
      multiple: several(f),
      onchange: (event) => {
        const rows = [...event.target.selectedOptions].map((option) => Number(option.value));
        const to = several(f) ? rows.filter((row) => row || rows.length === 1) : rows[0];
        const { values } = state.people[at];
        edit({ values: { ...values, [f.name]: to } }, `${f.name}: ${label(f, values[f.name])} → ${label(f, to)}`);
      },
    }, make("option", { value: 0 }, "not given (the average)"),
    ...f.values.map((text, i) => make("option", { value: i + 1 }, text))));

    const liked = titleSearch(id("like"), `liked films, up to ${MOST_LIKES}`, () => "", (i) => {
      const { likes } = state.people[at];
      if (likes.includes(i)) liked.say(`${films.title[i]} is among them.`);
      else if (likes.length >= MOST_LIKES) liked.say(`${MOST_LIKES} films: remove one to add another.`);
      else edit({ likes: [...likes, i] }, `likes ${films.title[i]}`);
    });
    const row = chips("liked films", "remove", (i) => edit(
      { likes: state.people[at].likes.filter((other) => other !== i) }, `no longer likes ${films.title[i]}`), liked.input);
    liked.box.append(row.list);

    const likes = make("div", { class: "live-wide", id: id("likes") }, liked.box);
    const box = make("fieldset", { class: "live-person" },
      make("legend", {}, `Person ${LETTERS[at]}`),
      make("div", { class: "live-wide" }, control("user", user)),
      ...traits.map((f, i) => control(f.name, selects[i])), likes);

    const show = (who) => {
      box.hidden = !who;
      if (!who) return;
      user.value = who.person;
      traits.forEach((f, i) => {
        for (const option of selects[i].options) {
          option.selected = [who.values[f.name]].flat().includes(Number(option.value));
        }
      });
      liked.show();
      likes.hidden = who.person >= 0;
      row.show(who.likes);
    };
    return { box, show };
  }

  const forms = LETTERS.map((_, at) => personForm(at));
  const two = make("input", { type: "checkbox", id: "live-two", autocomplete: "off", onchange: () => {
    const [first] = state.people;
    state.people = two.checked ? [first, aPerson(first.person === 1 ? 0 : Math.min(1, people.uid.length - 1))] : [first];
    last = null;
    update();
  } });

  const film = titleSearch("live-film", "film: type a part of its title", () => films.title[state.film], choose);
  function choose(i) {
    if (i === state.film) render();
    else change(() => { state.film = i; }, `film: ${films.title[i]}`);
  }

  const form = make("form", { class: "live-form", autocomplete: "off", onsubmit: (event) => event.preventDefault() },
    make("div", { class: "live-people" }, ...forms.map(({ box }) => box)),
    make("div", { class: "live-wide live-choice" }, two, make("label", { for: two.id }, "two people side by side")),
    make("div", { class: "live-wide" }, film.box),
    titles);

  const warning = make("p", { class: "live-warning", role: "alert" });
  const totals = LETTERS.map((letter) => {
    const [mark, total, subject] = [make("b", {}, letter), make("strong"), make("span")];
    return { mark, total, subject, line: make("p", { class: "live-total" }, mark, " ", total, " ", subject) };
  });
  const story = make("p", { class: "live-story" });
  const again = make("button", {
    type: "button", class: "live-again", onclick: () => {
      [state, seen, last, warning.textContent] = [start(), remembered(), null, ""];
      render();
      toAddress("");
    },
  }, "Start again");
  const told = make("div", { role: "status" });
  const headline = make("div", { class: "live-headline" }, told, again);

  // ----------------------------------------------------------------------------------------------- the waterfall

  const axis = make("td", { class: "live-axis", "aria-hidden": "true" });
  const lines = []; // one for each row of the table, in order

  function line(kind, heading, more = {}) {
    const item = { kind, ...more, moved: make("span", { class: "live-moved" }), value: make("span", { class: "live-value" }) };
    item.lanes = LETTERS.map((letter) => {
      const [bar, number] = [make("i"), make("span", { class: "live-of", "data-of": letter })];
      return { bar, number, lane: make("div", { class: `live-lane live-lane-${letter}` }, bar) };
    });
    item.track = make("td", { class: "live-track", "aria-hidden": "true" }, ...item.lanes.map(({ lane }) => lane));
    item.row = make("tr", { class: `live-${kind}` },
      make("th", { scope: "row" }, heading, " ", item.value), item.track,
      make("td", { class: "live-number" }, ...item.lanes.flatMap(({ number }) => [number, " "]), item.moved));
    lines.push(item);
    return item;
  }

  function partLines(part, names) {
    const box = make("input", { type: "checkbox", id: `live-on-${part}`, checked: true, autocomplete: "off",
      onchange: () => { state.off = { ...state.off, [part]: !box.checked }; update(); } });
    const heading = make("span", { class: "live-part-name" }, box,
      make("label", { for: box.id }, PARTS[part].name));
    const head = line("part", heading, { part, box });
    if (!names.length) return [make("tbody", {}, head.row)];
    const rows = names.map((name, index) => line("term", name, { part, index, name }).row);
    const body = make("tbody", { id: `live-terms-${part}` }, ...rows);
    head.body = body;
    head.button = make("button", { type: "button", "aria-controls": body.id,
      onclick: () => { state.folded = { ...state.folded, [part]: !body.hidden }; render(); } });
    head.count = names.length;
    heading.append(head.button);
    return [make("tbody", {}, head.row), body];
  }

  const names = fields.map((f) => f.name);
  const pairNames = names.flatMap((a, i) => names.slice(i + 1).map((b) => `${a} × ${b}`));
  const heads = [...LETTERS.map((letter) => make("span", { class: "live-of" }, letter)), make("span", { class: "live-moved" })];
  const table = make("table", { class: "live-terms" },
    make("caption", {}, "How the score comes about, in stars"),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "term"), axis,
      make("th", { scope: "col" }, ...heads.flatMap((head) => [head, " "])))),
    make("tbody", {}, line("mean", "constant w₀").row),
    ...partLines("first", names), ...partLines("pairs", pairNames), ...partLines("deep", []),
    make("tbody", {}, line("sum", "prediction").row, line("true", "true rating").row));

  // ------------------------------------------------------------------------------------------- lists and address

  const lists = LETTERS.map((letter) => {
    const whose = make("p", { class: "live-whose" });
    const ten = make("ol", { class: "live-ten", "aria-label": `ten films for person ${letter}` });
    return { whose, ten, box: make("div", {}, whose, ten) };
  });
  const common = make("p", { class: "live-common", role: "status" });
  const seenSearch = titleSearch("live-seen", "a film you have seen: it leaves the lists", () => "", (i) => {
    if (seen.includes(i)) seenSearch.say(`${films.title[i]} is marked already.`);
    else mark(i, true);
  });
  const marked = chips("seen films", "not seen:", (i) => mark(i, false), seenSearch.input);
  seenSearch.box.append(marked.list);

  /** Marks a film as seen, or not, on the page and in what the browser remembers. */
  function mark(film, isSeen) {
    const edit = (some) => [...some.filter((other) => other !== film), ...(isSeen ? [film] : [])];
    const kept = edit(remembered());
    try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* then the address alone keeps it */ }
    seen = edit(seen);
    update();
  }

  const copied = make("span", { class: "live-note", role: "status" });
  const address = make("input", { id: "live-address", type: "text", readOnly: true, onfocus: () => address.select() });
  const copy = make("button", { type: "button", class: "live-again", onclick: async () => {
    try {
      await navigator.clipboard.writeText(address.value);
      copied.textContent = "Copied.";
    } catch {
      address.focus();
      copied.textContent = "The address is selected: copy it as you copy text.";
    }
  } }, "Copy");
  const share = make("div", { class: "live-share" },
    make("div", { class: "live-control" },
      make("label", { for: address.id }, "the address of all that is chosen here"), address),
    copy, copied);
  const facts = make("p", { class: "live-facts" });

  // --------------------------------------------------------------------------------------------------- rendering

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const amount = (t, { kind, part, index }) => {
    if (kind === "mean") return t.w0;
    if (kind === "sum") return DeepFM.score(t, state.off);
    if (part === "deep") return t.deep;
    return kind === "term" ? t[part][index] : sum(t[part]);
  };

  /** Changes the state and remembers the terms before. */
  function change(edit, what) {
    const before = shown;
    edit();
    last = { before, what };
    update();
  }

  function update() {
    render();
    warning.textContent = "";
    toAddress(written());
  }

  function render() {
    shown = state.people.map((who) => termsOf(model, who, state.film));
    place.classList.toggle("live-two", state.people.length > 1);
    forms.forEach((some, at) => some.show(state.people[at]));
    two.checked = state.people.length > 1;
    film.show();
    seenSearch.show();
    marked.show(seen);
    renderTable();
    renderHeadline();
    renderLists(state.people.map(topFilms));
  }

  function renderTable() {
    const truths = state.people.map((who) => ratingOf(who, state.film));
    const compared = shown.length > 1;
    const columns = compared ? ["A", "B", "B − A"] : ["stars", "", "moved by"];
    heads.forEach((head, i) => { head.textContent = columns[i]; });
    for (const item of lines) {
      item.off = Boolean(state.off[item.part]);
      if (item.body) item.body.hidden = Boolean(state.folded[item.part]);
    }
    shown.forEach((t, at) => {
      let running = 0;
      for (const item of lines) {
        const from = running;
        const value = item.kind === "true" ? truths[at]?.stars : amount(t, item);
        const closed = item.kind === "part" && item.body && !item.body.hidden; // its terms carry the bars
        if (item.kind === "mean") running = value;
        else if ((item.kind === "term" && !item.row.parentNode.hidden) || (item.kind === "part" && !closed)) {
          running += item.off ? 0 : value;
        }
        Object.assign(item.lanes[at], { from, value, to: item.kind === "true" ? value ?? running : running });
      }
    });
    const ends = lines.flatMap(({ kind, lanes }) => lanes.slice(0, shown.length)
      .flatMap(({ from, to }) => (kind === "mean" ? [to] : [from, to])));
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    const unit = most - least > 1.6 ? 0.5 : 0.25; // of a star, from one line of the grid to the next
    const low = Math.floor(least / unit - 0.3) * unit;
    const high = Math.max(Math.ceil(most / unit + 0.3) * unit, low + 1);
    const at = (x) => `${(100 * (x - low) / (high - low)).toFixed(3)}%`;
    table.style.setProperty("--step", at(low + unit));
    const ticks = [];
    for (let x = Math.ceil(low / unit / 2) * unit * 2; x < high; x += 2 * unit) ticks.push(x);
    axis.replaceChildren(...ticks.map((x) => make("span", { style: `left: ${at(x)}` }, stars(x, unit < 0.5 ? 1 : 0))));

    for (const item of lines) {
      const { kind, row, part } = item;
      const point = kind === "mean" || kind === "sum" || kind === "true";
      const equation = kind === "mean" ? "eq-first-order" : kind === "sum" ? "eq-deepfm" : PARTS[part]?.equation;
      item.lanes.forEach(({ lane, bar, number, from, to, value }, person) => {
        lane.hidden = person >= shown.length || value === undefined;
        number.textContent = "";
        if (lane.hidden) return;
        const none = point || from === to;
        lane.style.setProperty("--from", at(kind === "mean" || kind === "true" ? to : from));
        lane.style.setProperty("--to", at(to));
        bar.style.left = at(point ? to : Math.min(from, to));
        bar.style.width = none ? "" : `${(100 * Math.abs(to - from) / (high - low)).toFixed(3)}%`;
        bar.className = point ? "live-point" : none ? "live-none" : value < 0 ? "live-minus" : "live-plus";
        const text = kind === "true" ? String(value) : point ? stars(value, 3) : signed(value);
        number.replaceChildren(equation && person === 0 ? linked(text, equation) : text);
      });
      row.classList.toggle("live-off", item.off);
      if (kind === "term" && part === "first") {
        item.value.textContent = both(...state.people.map((who) => valueOf(fields[item.index], who)));
      }
      if (kind === "part") {
        item.box.checked = !item.off;
        if (item.button) {
          item.button.textContent = `${item.body.hidden ? "show" : "hide"} ${item.count}`;
          item.button.setAttribute("aria-expanded", String(!item.body.hidden));
          item.button.setAttribute("aria-label", `${item.count} terms of ${PARTS[part].one}`);
        }
      }
      if (kind === "true") {
        row.hidden = !truths.some(Boolean);
        const when = (truth) => (!truth ? "none" : truth.heldOut ? "held out" : "seen in training");
        item.value.textContent = both(...truths.map(when));
      }
      if (kind === "mean" || kind === "true") continue;
      const old = compared ? item.lanes[0].value : last && amount(last.before[0], item);
      const moved = old === null ? 0 : item.lanes[compared ? 1 : 0].value - old;
      row.classList.toggle("live-has-moved", moved !== 0 && !item.off && !compared);
      const size = Math.abs(moved) < 0.0005 ? "< 0.001" : signed(moved);
      item.moved.textContent = moved === 0 || item.off ? "" : `${moved < 0 ? "▼" : "▲"} ${size}`;
    }
  }

  /** What differs between the terms of A and of B, the largest first. */
  function differences() {
    const score = shown.map((t) => DeepFM.score(t, state.off));
    const gaps = lines.filter((item) => !item.off && (item.kind === "term" || item.part === "deep") && item.kind !== "mean")
      .map((item) => [item.name ?? "the deep part", item.lanes[1].value - item.lanes[0].value])
      .filter(([, gap]) => gap !== 0).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
    const most = gaps.slice(0, 3).map(([name, gap]) => `${name} (${signed(gap, 2)})`).join(", ");
    const gap = score[1] - score[0];
    const whole = gap === 0 ? "A and B get the same score."
      : `B gets ${Math.abs(gap).toFixed(2)} stars ${gap < 0 ? "less" : "more"} than A.`;
    return gaps.length ? `${whole} ${gaps.length} terms differ, most of all ${most}.` : whole;
  }

  function renderHeadline() {
    const score = shown.map((t) => DeepFM.score(t, state.off));
    told.replaceChildren(...totals.slice(0, shown.length).map(({ line }) => line), story);
    totals.slice(0, shown.length).forEach(({ mark, total, subject }, at) => {
      mark.hidden = shown.length < 2;
      total.textContent = `${stars(score[at], 3)} stars`;
      subject.textContent = `for ${named(state.people[at])} and ${films.title[state.film]}`;
    });
    const off = Object.keys(PARTS).filter((part) => state.off[part]).map((part) => PARTS[part].one);
    const said = [];
    if (shown.length > 1) said.push(differences());
    else if (last) {
      const [t, before] = [shown[0], last.before[0]];
      const counted = (part) => [t[part]].flat().filter((x, i) => x !== [before[part]].flat()[i]).length;
      const [first, pairs, deep] = Object.keys(PARTS).map(counted);
      said.push(`After “${last.what}”: ${signed(score[0] - DeepFM.score(before, state.off), 2)} stars. `
        + `${first + pairs + deep} of ${t.first.length + t.pairs.length + 1} terms moved: `
        + `${first} of ${t.first.length} weights, ${pairs} of ${t.pairs.length} pairs, `
        + `${deep ? "and the deep part" : "not the deep part"}.`);
    } else if (!off.length) said.push("Change something, and this line says which terms moved.");
    if (off.length) said.push(`Without ${off.join(" and ")}.`);
    if (shown.length < 2 && (score[0] < 1 || score[0] > 5)) {
      said.push(`Ratings end at 1 and 5 stars, so this would be told as ${score[0] < 1 ? 1 : 5}.`);
    }
    story.textContent = said.join(" ");
  }

  function renderLists(tops) {
    lists.forEach(({ whose, ten, box }, at) => {
      box.hidden = at >= tops.length;
      if (box.hidden) {
        ten.replaceChildren();
        return;
      }
      const who = state.people[at];
      const other = tops[1 - at];
      const focused = [...ten.querySelectorAll("button")].indexOf(document.activeElement);
      whose.hidden = !other;
      whose.textContent = `${LETTERS[at]}: ${named(who)}`;
      ten.classList.toggle("live-with-more", Boolean(people.ratings));
      ten.replaceChildren(...tops[at].map((i) => {
        const truth = ratingOf(who, i);
        const there = other ? other.indexOf(i) + 1 : 0;
        const more = [truth ? `rated ${truth.stars}` : "", there ? `${LETTERS[1 - at]}: ${there}` : ""];
        const button = make("button", { type: "button", class: "live-choose", onclick: () => choose(i) },
          make("span", { class: "live-title" }, films.title[i]),
          make("span", { class: "live-number" }, stars(scoreOf(model, who, i))),
          make("span", { class: "live-rated" }, more.filter(Boolean).join(", ")));
        if (i === state.film) button.setAttribute("aria-current", "true");
        return make("li", { class: other && !there ? "live-alone" : "" }, make("div", {}, button, make("button", {
          type: "button", class: "live-mark", "aria-label": `seen: ${films.title[i]}`, onclick: () => mark(i, true),
        }, "seen")));
      }));
      ten.querySelectorAll("button")[focused]?.focus({ preventScroll: true });
    });
    const shared = tops[1]?.filter((i) => tops[0].includes(i)).length;
    common.hidden = shared === undefined;
    common.textContent = shared === undefined ? "" : `On both lists: ${shared} of ten films. `
      + "A number behind a letter is the film's place on the other list; a bar marks films that are on one list only.";
  }

  const real = !people.ratings;
  const percent = (x) => `${(100 * x).toFixed(0)}%`;
  const how = make("p", { class: "live-facts" }, (model.lists
    ? "A second model, which was asked what people like, chooses these films and their order. The number is what the first model predicts, in stars. "
    : "These films have the highest scores. ")
    + (real ? "The page holds no ratings. So it does not know what a user has seen: mark seen films, and they leave the lists."
      : "A film that the user has rated in training, or that is marked as seen, is left out; a rating beside a film was held out from the training."));
  facts.textContent = `The models: trained on nine tenths of the ${model.dataset} ratings (seed ${model.seed}). `
    + `On the tenth held out, the root mean squared error of the first is ${model.rmse.toFixed(3)} stars. `
    + (model.lists ? `Lists of ten by the second, without the films rated in training, hold ${percent(model.lists.recall)} of the films liked there; `
      + `lists of the films rated most hold ${percent(model.lists.popular)}. ` : "")
    + (real ? "MovieLens may not be passed on, so no rating is part of this page, and there is no true one to compare with."
      : "People and films are invented, so the ratings can be shown beside the prediction.");

  place.append(warning, form, headline, table, make("h3", {}, "Ten films"), how, common,
    make("div", { class: "live-lists" }, ...lists.map(({ box }) => box)), seenSearch.box, share, facts);
  place.hidden = false;
  document.documentElement.classList.add("live-on");
  open();
  addEventListener("hashchange", open);
})();
