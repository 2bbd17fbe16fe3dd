// Draws every <figure data-chart> with Chart.js. The figures are in the JSON beside it: labels, series (name, values, colour:
// an index of the palette, "rest" or a kind of token's class), unit (usd, tokens, requests), stacked, links (an address for each label).
"use strict";

(() => {
  const drawn = new Map();

  // As the browser would paint it: the value itself may be light-dark(), which a canvas does not know.
  function style(name) {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.color = `var(${name})`;
    const painted = getComputedStyle(probe).color;
    probe.remove();
    return painted;
  }
  function colour(series, index) {
    if (typeof series.colour === "string") return style(series.colour === "rest" ? "--series-rest" : `--${series.colour}`);
    return style(`--series-${(series.colour ?? index) % 10}`);
  }
  const language = () => document.documentElement.lang || "en";

  function written(value, unit, short) {
    const shape = short ? { notation: "compact", maximumSignificantDigits: 3 } : { maximumFractionDigits: unit === "usd" ? 6 : 0 };
    if (unit === "usd") Object.assign(shape, { style: "currency", currency: "USD", minimumFractionDigits: short ? 0 : 2 });
    if (unit === "percent") return `${new Intl.NumberFormat(language(), { maximumFractionDigits: 1 }).format(value)} %`;
    return new Intl.NumberFormat(language(), shape).format(value);
  }

  function draw(figure) {
    const data = JSON.parse(document.getElementById(figure.dataset.chartSource).textContent);
    const canvas = figure.querySelector("canvas");
    const line = figure.dataset.chart === "line";
    drawn.get(canvas)?.destroy();
    const ink = style("--ink-soft"), grid = style("--line");
    const chart = new Chart(canvas, {
      type: line ? "line" : "bar",
      data: {
        labels: data.labels,
        datasets: data.series.map((series, index) => ({
          label: series.name, data: series.values.map(Number), backgroundColor: colour(series, index),
          borderColor: line ? colour(series, index) : style("--card"), borderWidth: line ? 2 : 1,
          pointRadius: line ? 2 : 0, tension: 0.25, fill: false, maxBarThickness: 48,
        })),
      },
      options: {
        responsive: true, maintainAspectRatio: false,
        animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? false : { duration: 250 },
        interaction: { mode: "index", intersect: false },
        onClick: (_, __, found) => {
          const place = found.getElementsAtEventForMode(_, "index", { intersect: false }, true)[0];
          if (place && data.links?.[place.index]) location.assign(data.links[place.index]);
        },
        plugins: {
          legend: { display: data.series.length > 1, position: "bottom", labels: { color: ink, boxWidth: 12, boxHeight: 12, useBorderRadius: true, borderRadius: 3 } },
          tooltip: {
            itemSort: (a, b) => b.raw - a.raw,
            filter: (item) => item.raw !== 0,
            callbacks: { label: (item) => `${item.dataset.label}: ${written(item.raw, data.unit, false)}` },
          },
        },
        scales: {
          x: { stacked: data.stacked !== false && !line, grid: { display: false }, ticks: { color: ink, maxRotation: 0, autoSkipPadding: 12 }, border: { color: grid } },
          y: { stacked: data.stacked !== false && !line, beginAtZero: true, grid: { color: grid }, border: { display: false }, ticks: { color: ink, maxTicksLimit: 6, callback: (value) => written(value, data.unit, true) } },
        },
      },
    });
    drawn.set(canvas, chart);
    if (data.links) canvas.classList.add("zooms");
  }

  function drawAll(root) {
    for (const figure of root.querySelectorAll("[data-chart]")) draw(figure);
    if (root.matches?.("[data-chart]")) draw(root);
  }
  document.addEventListener("DOMContentLoaded", () => drawAll(document));
  document.addEventListener("htmx:load", (event) => { if (event.detail.elt !== document.body) drawAll(event.detail.elt); });
  document.addEventListener("theme", () => { for (const canvas of drawn.keys()) if (canvas.isConnected) draw(canvas.closest("[data-chart]")); });
})();
