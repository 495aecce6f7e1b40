import type { CompareDocument } from "hyperwalk";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { type ChartCell, chartCells, runName } from "./chart-rows.js";
import { figure } from "./figures.js";
import { inkOn } from "./palette.js";
import type { ChartParts } from "./state.js";

const STEP = 84;
const BAR = 34;
const GHOST = 9;
/** Average width of a character of a label. */
const CHARACTER = 6.4;
const MOVE_MS = 350;

/** A cell as the chart draws it. */
interface DrawnCell extends ChartCell {
  readonly label: string;
  readonly ink: string;
  readonly tooltip: string;
}

/** Bars of one call, drawn by Vega; they move from one result to the next. */
export class BreakdownChart {
  private readonly place: HTMLElement;
  private view: View | undefined;
  private drawn: readonly ChartCell[] = [];
  private shape = "";
  private frame = 0;

  constructor(place: HTMLElement) {
    this.place = place;
  }

  /** Draws a document, and another one's bars below its own. */
  async draw(
    document: CompareDocument,
    before: CompareDocument | undefined,
    parts: ChartParts,
  ): Promise<void> {
    const cells = chartCells(document, before, parts);
    const width = this.place.clientWidth;
    const titles = document.runs.map((run) => ({
      run: runName(run),
      title: `${runName(run)}: ${run.cyclesPerCall === null ? "no hypercall" : `${figure(run.cyclesPerCall)} cycles`}`,
    }));
    const theme = getComputedStyle(this.place);
    const colours = ["--ink", "--soft", "--line", "--page"].map((name) =>
      theme.getPropertyValue(name).trim(),
    );
    const shape = JSON.stringify([titles.map(({ run }) => run), width, colours, parts]);
    const from = this.shape === shape ? this.drawn : [];
    if (this.shape !== shape) await this.rebuild(titles.length, width, colours);
    this.shape = shape;
    this.drawn = cells;
    this.view?.data("titles", titles);
    this.move(from, cells, width);
  }

  private async rebuild(runs: number, width: number, colours: readonly string[]): Promise<void> {
    cancelAnimationFrame(this.frame);
    this.view?.finalize();
    const { spec } = compile(chartSpec(runs, width, colours));
    this.view = new View(parse(spec), { renderer: "svg", container: this.place, hover: false });
    await this.view.runAsync();
    // The picture's container says what it is; its parts would only repeat the tables, piece by piece.
    this.place.querySelector("svg")?.setAttribute("aria-hidden", "true");
  }

  private move(from: readonly ChartCell[], to: readonly ChartCell[], width: number): void {
    cancelAnimationFrame(this.frame);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || from.length === 0;
    const began = performance.now();
    const old = new Map(from.filter(({ isBefore }) => !isBefore).map((cell) => [key(cell), cell]));
    const show = (share: number): void => {
      const cells = to.map((cell) => (cell.isBefore ? cell : between(old.get(key(cell)), cell, share)));
      void this.view?.data("cells", drawnCells(cells, width)).runAsync();
    };
    if (still) {
      show(1);
      return;
    }
    const step = (now: number): void => {
      const time = Math.min(1, Math.max(0, (now - began) / MOVE_MS));
      show(1 - (1 - time) ** 3);
      if (time < 1) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }
}

function key({ run, part }: ChartCell): string {
  return `${run} ${part}`;
}

function between(from: ChartCell | undefined, to: ChartCell, share: number): ChartCell {
  if (from === undefined || share === 1) return to;
  return {
    ...to,
    start: from.start + (to.start - from.start) * share,
    end: from.end + (to.end - from.end) * share,
  };
}

/** Labels where they fit. */
function drawnCells(cells: readonly ChartCell[], width: number): DrawnCell[] {
  const longest = Math.max(1, ...cells.map(({ end }) => end));
  return cells.map((cell) => {
    const short = cell.part.replace(/^mitigations: /, "");
    const room = ((cell.end - cell.start) / longest) * (width - 20) - 8;
    const fits = !cell.isBefore && short.length * CHARACTER <= room;
    const cycles = cell.end - cell.start;
    return {
      ...cell,
      label: fits ? short : "",
      ink: inkOn(cell.colour),
      tooltip: `${cell.run}${cell.isBefore ? ", compared with" : ""}: ${cell.part}, ${figure(cycles)} cycles`,
    };
  });
}

function chartSpec(runs: number, width: number, [ink, soft, line, page]: readonly string[]): TopLevelSpec {
  const y = { field: "run", type: "nominal", sort: null, axis: null } as const;
  const colour = { field: "colour", type: "nominal", scale: null, legend: null } as const;
  const span = {
    x: {
      field: "start",
      type: "quantitative",
      title: "cycles per call",
      scale: { nice: false, zero: true },
      axis: {
        tickCount: Math.max(3, Math.round(width / 120)),
        labelExpr: "replace(format(datum.value, ','), ',', '\u202f')",
      },
    },
    x2: { field: "end" },
    y,
    tooltip: { field: "tooltip", type: "nominal" },
  } as const;
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: Math.max(200, width - 20),
    height: runs * STEP,
    padding: { left: 2, right: 12, top: 0, bottom: 4 },
    background: "transparent",
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
          color: ink,
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
        mark: { type: "bar", height: BAR, yOffset: 1, stroke: page, strokeWidth: 1 },
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
        domainColor: soft,
        gridColor: line,
        gridOpacity: 0.6,
        labelColor: ink,
        labelFontSize: 12,
        tickColor: soft,
        titleColor: ink,
        titleFontSize: 12,
        titleFontWeight: "normal",
      },
    },
  };
}
