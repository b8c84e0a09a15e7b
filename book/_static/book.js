// What scrolls sideways can be reached and scrolled with the keyboard.
function reachWhatScrolls() {
  const boxes = ".bd-content :is(div.math, pre, .cell_output, .pst-scrollable-table-container)";
  for (const box of document.querySelectorAll(boxes)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
}
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  reachWhatScrolls();
  addEventListener("resize", reachWhatScrolls);
});
