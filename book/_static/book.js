// What scrolls sideways can be reached and scrolled with the keyboard: looked at whenever a box changes its size
// (a window, a fold, a sheet of paper, a formula that is set), for the theme takes from the keyboard what fits at load.
addEventListener("DOMContentLoaded", () => {
  const sizes = new ResizeObserver((changes) => {
    for (const { target } of changes) if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
  });
  const boxes = ".bd-content :is(div.math, pre, .cell_output, .output, .pst-scrollable-table-container)";
  const watch = () => document.querySelectorAll(boxes).forEach((box) => sizes.observe(box));
  watch();
  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    watch();
  });
});

// What a click shows is said by the words on it, also to who hears the page.
addEventListener("DOMContentLoaded", () => {
  for (const words of document.querySelectorAll("details > summary[aria-label]")) words.removeAttribute("aria-label");
});

// A link to a term of the glossary carries its definition: shown under the mouse, on focus, at the first touch.
addEventListener("DOMContentLoaded", () => {
  const terms = document.querySelectorAll('a[href*="#term-"][title]');
  const note = document.createElement("div");
  note.id = "definition";
  note.role = "tooltip";
  note.hidden = true;
  if (terms.length) document.body.append(note);

  function show(link) {
    note.textContent = link.dataset.definition;
    note.hidden = false;
    const box = link.getBoundingClientRect();
    note.style.left = `${scrollX + Math.max(8, Math.min(box.left, document.documentElement.clientWidth - note.offsetWidth - 8))}px`;
    note.style.top = `${scrollY + box.bottom}px`;
  }
  const hide = () => (note.hidden = true);
  for (const link of terms) {
    link.dataset.definition = link.title;
    link.removeAttribute("title");
    link.setAttribute("aria-describedby", note.id);
    link.addEventListener("mouseenter", () => show(link));
    link.addEventListener("focus", () => show(link));
    link.addEventListener("blur", hide);
    link.addEventListener("mouseleave", (event) => event.relatedTarget !== note && hide());
    let touched = false; // the first touch shows, the second follows the link
    link.addEventListener("pointerdown", ({ pointerType }) => {
      touched = pointerType === "touch" && (note.hidden || note.textContent !== link.dataset.definition);
    });
    link.addEventListener("click", (event) => {
      if (!touched || event.detail === 0) return; // 0: the Enter key
      event.preventDefault();
      show(link);
    });
  }
  note.addEventListener("mouseleave", hide);
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("pagehide", hide); // the page may come back as it was left
});

// On paper the page is light.
{
  const { dataset } = document.documentElement;
  let shown = "";
  addEventListener("beforeprint", () => {
    if (dataset.theme === "dark") [shown, dataset.theme] = [dataset.theme, "light"];
  });
  addEventListener("afterprint", () => {
    if (shown) [dataset.theme, shown] = [shown, ""];
  });
}
