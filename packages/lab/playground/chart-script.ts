import { BreakdownChart } from "./chart.js";

// The chart is a script of its own: the simulator's worker starts while Vega is being read.

declare global {
  var hyperwalkChart: ((place: HTMLElement) => BreakdownChart) | undefined;
}

globalThis.hyperwalkChart = (place) => new BreakdownChart(place);
