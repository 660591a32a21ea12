"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => innerWidth < 640;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const axes = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  // What depends on the reader's screen: colours, and how much room names may take.
  const dressed = (layout) => {
    const change = { "font.color": css("--front"), "hoverlabel.bgcolor": css("--raised"),
      "hoverlabel.bordercolor": css("--front"), "hoverlabel.align": "left" };
    for (const axis of axes(layout)) {
      change[`${axis}.gridcolor`] = css("--line");
      change[`${axis}.zerolinecolor`] = css("--line");
      change[`${axis}.linecolor`] = css("--line");
      const names = layout[axis].ticktext;
      if (narrow() && names) change["margin.l"] = 90;
      if (narrow() && names) change[`${axis}.ticktext`] = names.map((n) => (n.length > 14 ? n.slice(0, 6) + "…" + n.slice(-7) : n));
    }
    return change;
  };

  // Pixels that the legend's third and further rows take, by what its names need about: plotly leaves room for two.
  const legendGrowth = (figure, width) => {
    let rows = 1, used = 0;
    for (const { name, showlegend } of figure.data) {
      if (showlegend === false) continue;
      const needs = 50 + 6.5 * name.length;
      if (used && used + needs > width) { rows += 1; used = 0; }
      used += needs;
    }
    return Math.max(0, rows - 2) * 29;
  };

  const draw = (place) => {
    const figure = JSON.parse(document.getElementById(place.id + "-figure").textContent);
    const config = { responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset" };
    // On a phone a finger must be able to scroll past.
    if (narrow()) figure.layout.dragmode = false;
    // Before it is drawn, not after: that would draw it twice.
    for (const [path, value] of Object.entries(dressed(figure.layout))) {
      const [outer, inner] = path.split(".");
      (figure.layout[outer] ??= {})[inner] = value;
    }
    const growth = legendGrowth(figure, place.clientWidth - figure.layout.margin.l - figure.layout.margin.r);
    figure.layout.height += growth;
    figure.layout.margin.b += growth;
    Plotly.newPlot(place, figure.data, figure.layout, config)
      .then(() => {
        place.dataset.drawnMs = Math.round(performance.now());
        dark.addEventListener("change", () => Plotly.relayout(place, dressed(figure.layout)));
      });
    const tools = document.querySelector(`.tools[data-for="${place.id}"]`);
    tools.hidden = false;
    tools.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) zoom(place, button.dataset);
    });
  };

  const zoom = (place, wish) => {
    const end = Number(place.dataset.end);
    const [from, to] = place.layout.xaxis.range.map(Number);
    const middle = (from + to) / 2, half = (to - from) / 2;
    const range = {
      all: () => [0, end],
      fault: () => {
        const margin = Math.max(1, (wish.to - wish.from) * 0.1);
        return [Number(wish.from) - margin, Number(wish.to) + margin];
      },
      in: () => [middle - half / 2, middle + half / 2],
      out: () => [middle - half * 2, middle + half * 2],
      left: () => [from - half, to - half],
      right: () => [from + half, to + half],
    }[wish.do]();
    const change = {};
    for (const axis of axes(place.layout)) if (axis.startsWith("x")) change[`${axis}.range`] = range;
    Plotly.relayout(place, change);
  };

  // Each is drawn when it is about to be seen: a page of a hundred opens as quickly as a page of one.
  const watch = new IntersectionObserver((seen) => {
    for (const entry of seen) {
      if (!entry.isIntersecting) continue;
      watch.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "400px" });
  for (const place of document.querySelectorAll(".timeline")) watch.observe(place);
})();
