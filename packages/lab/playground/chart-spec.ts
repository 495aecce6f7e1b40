import type { Spec } from "vega";
import { compile } from "vega-lite";

/** Pixels of one bar's row, with its title and the bar that it is compared with. */
export const STEP = 84;
const BAR = 34;
const GHOST = 9;

const y = { field: "run", type: "nominal", sort: null, axis: null } as const;
const colour = { field: "colour", type: "nominal", scale: null, legend: null } as const;
const span = {
  x: {
    field: "start",
    type: "quantitative",
    title: "cycles per call",
    scale: { nice: false, zero: true },
    axis: {
      tickCount: { expr: "max(3, round(width / 120))" },
      labelExpr: "replace(format(datum.value, ','), ',', '\u202f')",
    },
  },
  x2: { field: "end" },
  y,
  tooltip: { field: "tooltip", type: "nominal" },
} as const;

/**
 * Rows of bars, for Vega: data `cells` and `titles`, signals `ink`, `soft`, `line` and `page` for colours, and Vega's own `width` and
 * `height`. The build puts what Vega-Lite makes of it in place of this module.
 */
export const chartSpec: Spec = compile({
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  width: 600,
  height: STEP,
  padding: { left: 2, right: 12, top: 0, bottom: 4 },
  background: "transparent",
  params: [
    { name: "ink", value: "black" },
    { name: "soft", value: "gray" },
    { name: "line", value: "gray" },
    { name: "page", value: "white" },
  ],
  datasets: { cells: [], titles: [] },
  layer: [
    {
      data: { name: "titles" },
      mark: {
        type: "text",
        align: "left",
        yOffset: -STEP / 2 + 12,
        x: 0,
        fontSize: 14,
        fontWeight: 600,
        color: { expr: "ink" },
      },
      encoding: { y, text: { field: "title", type: "nominal" } },
    },
    {
      data: { name: "cells" },
      transform: [{ filter: "datum.isBefore" }],
      mark: { type: "bar", height: GHOST, yOffset: BAR / 2 + GHOST / 2 + 5, opacity: 0.6 },
      encoding: { ...span, color: colour },
    },
    {
      data: { name: "cells" },
      transform: [{ filter: "!datum.isBefore" }],
      mark: { type: "bar", height: BAR, yOffset: 1, stroke: { expr: "page" }, strokeWidth: 1 },
      encoding: { ...span, color: colour },
    },
    {
      data: { name: "cells" },
      transform: [
        { filter: "datum.label !== ''" },
        { calculate: "(datum.start + datum.end) / 2", as: "middle" },
      ],
      mark: { type: "text", yOffset: 2, fontSize: 12, tooltip: false },
      encoding: {
        x: { field: "middle", type: "quantitative" },
        y,
        text: { field: "label", type: "nominal" },
        color: { field: "ink", type: "nominal", scale: null, legend: null },
      },
    },
  ],
  config: {
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      domainColor: { expr: "soft" },
      gridColor: { expr: "line" },
      gridOpacity: 0.6,
      labelColor: { expr: "ink" },
      labelFontSize: 12,
      tickColor: { expr: "soft" },
      titleColor: { expr: "ink" },
      titleFontSize: 12,
      titleFontWeight: "normal",
    },
  },
}).spec;
