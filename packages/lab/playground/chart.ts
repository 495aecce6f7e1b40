import { type CompareDocument, runName } from "hyperwalk";
import { parse, View } from "vega";
import { type ChartCell, chartCells } from "./chart-rows.js";
import { chartSpec, STEP } from "./chart-spec.js";
import { figure } from "./figures.js";
import { inkOn } from "./palette.js";
import type { ChartParts } from "./state.js";

/** Average width of a character of a label. */
const CHARACTER = 6.4;
const MARGIN = 20;
const MOVE_MS = 350;
/** Signals of the chart that are colours of the page. */
const COLOURS = ["ink", "soft", "line", "page"] as const;

/** A cell as the chart draws it. */
interface DrawnCell extends ChartCell {
  readonly label: string;
  readonly ink: string;
  readonly tooltip: string;
}

/** Bars of one call, drawn by Vega; they move from one result to the next. */
export class BreakdownChart {
  private readonly place: HTMLElement;
  private readonly view: View;
  private drawn: readonly ChartCell[] = [];
  private frame = 0;

  constructor(place: HTMLElement) {
    this.place = place;
    this.view = new View(parse(chartSpec), { renderer: "svg", container: place, hover: false });
  }

  /** Draws a document, and another one's bars below its own. */
  draw(document: CompareDocument, before: CompareDocument | undefined, parts: ChartParts): void {
    const cells = chartCells(document, before, parts);
    const { view, place } = this;
    const width = Math.max(200, place.clientWidth - MARGIN);
    const titles = document.runs.map((run) => ({
      run: runName(run),
      title: `${runName(run)}: ${run.cyclesPerCall === null ? "no hypercall" : `${figure(run.cyclesPerCall)} cycles`}`,
    }));
    view
      .width(width)
      .height(titles.length * STEP)
      .data("titles", titles);
    const theme = getComputedStyle(place);
    for (const name of COLOURS) view.signal(name, theme.getPropertyValue(`--${name}`).trim());
    const from = this.drawn;
    this.drawn = cells;
    this.move(from, cells, width);
    // The picture's container says what it is; its parts would only repeat the tables, piece by piece.
    place.querySelector("svg")?.setAttribute("aria-hidden", "true");
  }

  private move(from: readonly ChartCell[], to: readonly ChartCell[], width: number): void {
    cancelAnimationFrame(this.frame);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || from.length === 0;
    const began = performance.now();
    const old = new Map(from.filter(({ isBefore }) => !isBefore).map((cell) => [key(cell), cell]));
    const show = (share: number): void => {
      const cells = to.map((cell) => (cell.isBefore ? cell : between(old.get(key(cell)), cell, share)));
      this.view.data("cells", drawnCells(cells, width)).run();
    };
    show(still ? 1 : 0);
    if (still) return;
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
    const room = ((cell.end - cell.start) / longest) * width - 8;
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
