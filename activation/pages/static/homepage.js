// The homepage works without this file but for the panel; here come the panel, arrow keys and the picker's short cut.
const why = document.getElementById("why");
const part = (name) => document.getElementById(`why-${name}`);
const kinds = { video: "Film", article: "Article", podcast: "Podcast" };

function explain(tile) {
  const data = tile.dataset;
  const model = part("model");
  part("art").src = tile.querySelector("img").src;
  part("kind").textContent = [kinds[data.type] ?? data.type, data.genres].filter(Boolean).join(" · ");
  part("title").textContent = data.title;
  part("reason").textContent = data.pinned ? `Here by choice of the editors: ${data.reason}.` : `Here ${/^because|^popular|^new/.test(data.reason) ? (data.reason.startsWith("because") ? "" : "because it is ") : "because it "}${data.reason}.`;
  part("rail").textContent = `“${data.rail}”, place ${data.place}`;
  model.textContent = data.pinned ? "the editors" : data.model
    ? data.model
    : model.dataset.reason
      ? `the list for everybody (${model.dataset.reason}). ${model.dataset.fallback}`
      : "the list for everybody, and what resembles what was watched";
  part("score").textContent = data.score;
  part("score-row").hidden = !data.score;
  part("simulated-row").hidden = !data.simulated;
  why.showModal();
}

document.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (tile) explain(tile);
  const arrow = event.target.closest("[data-scroll]");
  if (arrow) {
    const tiles = arrow.closest(".rail").querySelector(".tiles");
    tiles.scrollBy({ left: Number(arrow.dataset.scroll) * tiles.clientWidth * 0.8, behavior: "smooth" });
  }
});

part("close").addEventListener("click", () => why.close());
why.addEventListener("click", (event) => {
  if (event.target === why) why.close();
});

document.querySelectorAll(".tiles").forEach((tiles) => {
  tiles.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tiles.querySelectorAll(".tile")];
    const next = all[all.indexOf(document.activeElement) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
});

// arrows only where there is something to scroll to
function fitArrows() {
  document.querySelectorAll(".rail").forEach((rail) => {
    const tiles = rail.querySelector(".tiles");
    rail.querySelector(".arrows").hidden = tiles.scrollWidth <= tiles.clientWidth;
  });
}
fitArrows();
window.addEventListener("resize", fitArrows);

document.getElementById("subscriber").addEventListener("change", (event) => event.target.form.submit());
