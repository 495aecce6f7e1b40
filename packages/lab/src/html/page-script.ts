import { THOUSANDS } from "./amount.js";

/** What all charts have in common. Colours are custom properties of the page: dark mode and print need no second drawing. */
export const CHART_CONFIG: Readonly<Record<string, unknown>> = {
  background: null,
  aria: false,
  font: 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  view: { stroke: null },
  axis: {
    labelColor: "var(--fg)",
    titleColor: "var(--fg)",
    domainColor: "var(--line)",
    tickColor: "var(--line)",
    gridColor: "var(--grid)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    labelOverlap: true,
    labelSeparation: 8,
  },
  axisX: { labelFlush: false },
  axisY: { labelLimit: 170 },
  header: {
    labelColor: "var(--fg)",
    titleColor: "var(--fg)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
  },
  legend: {
    labelColor: "var(--fg)",
    titleColor: "var(--fg)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
  },
  text: { color: "var(--fg)", fontSize: 12 },
  rule: { color: "var(--fg)" },
  line: { color: "var(--fg)" },
};

/**
 * Draws the charts, one after another so that the first is seen first. Plain JavaScript for a browser. Expressions are
 * interpreted, not compiled: the page's policy lets no text become code.
 */
export const PAGE_SCRIPT: string = `
(async () => {
  const { config, charts } = JSON.parse(document.getElementById("charts").textContent);
  const options = {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, config,
    tooltip: { disableDefaultStyle: true },
    formatLocale: { decimal: ".", thousands: ${JSON.stringify(THOUSANDS)}, grouping: [3], currency: ["", ""] },
  };
  for (const { id, spec } of charts) {
    const canvas = document.querySelector('[data-chart="' + id + '"]');
    try {
      await vegaEmbed(canvas, spec, options);
      canvas.dataset.drawn = "yes";
    } catch (error) {
      canvas.textContent = "This chart could not be drawn; its data are below.";
      canvas.classList.add("failed");
      console.error(error);
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.body.dataset.charts = "drawn";
})();
`;
