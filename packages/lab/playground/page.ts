import type { CompareDocument } from "hyperwalk";
import type { BreakdownChart } from "./chart.js";
import { obstacles, runnable } from "./comparison.js";
import { Controls } from "./controls.js";
import { byId, element, loadScript } from "./dom.js";
import { RadioField } from "./fields.js";
import { figure } from "./figures.js";
import { commandLine, scenarioYaml } from "./reproduce.js";
import {
  countersTable,
  estimatesTable,
  ledgerTable,
  legendItems,
  notes,
  shortFigures,
  spokenSummary,
  summaryTable,
} from "./results-view.js";
import type { SimulationFailure } from "./simulation.js";
import { QUICK_ITERATIONS, Simulator } from "./simulator.js";
import { type ChartParts, DEFAULT_STATE, type PlaygroundState } from "./state.js";
import { decodeState, encodeState, type StateProblem } from "./state-url.js";

/** A result and the state that it is of. */
interface Shown {
  readonly state: PlaygroundState;
  readonly document: CompareDocument;
  readonly isQuick: boolean;
}

/** A slider that moves does not write the scenario anew each time. */
const REPRODUCTION_MS = 100;

/** Wires form, address, simulator and what shows the results. */
class Playground {
  private readonly chart: Promise<BreakdownChart>;
  private readonly parts = new RadioField<ChartParts>(
    "chart",
    "Bars by",
    [
      ["phase", "phase"],
      ["cause", "cause"],
    ],
    (chart) => this.change({ ...this.state, chart }, true),
  );
  // Before anything else of the page: its worker reads the simulator meanwhile.
  private readonly simulator = new Simulator({
    started: (isQuick) => this.busy(isQuick),
    finished: (state, document, isQuick) => void this.finished({ state, document, isQuick }),
    failed: (_state, failure) => this.failed(failure),
  });
  private readonly controls = new Controls(byId("controls"), {
    changed: (change, isFinal) => this.change({ ...this.state, ...change }, isFinal),
    reset: () => this.change(DEFAULT_STATE, true),
  });
  private state: PlaygroundState = DEFAULT_STATE;
  private shown: Shown | undefined;
  private before: Shown | undefined;
  private isPinned = false;
  /** What was last given to the simulator, as an address; undefined: nothing that still counts. */
  private simulated: string | undefined;
  private address = "";
  private download = "";
  private hasDrawn = false;
  private tables: ReturnType<typeof setTimeout> | undefined;
  private reproduction: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.chart = loadScript("chart.js").then(() => {
      if (globalThis.hyperwalkChart === undefined) throw new Error("chart.js left no chart");
      return globalThis.hyperwalkChart(byId("chart"));
    });
    byId("chart-parts").replaceWith(this.parts.node);
    byId("pin").addEventListener("click", () => this.pin());
    byId("stop").addEventListener("click", () => this.stop());
    byId("copy-link").addEventListener("click", () => void this.copyLink());
    addEventListener("popstate", () => this.readAddress());
    addEventListener("resize", () => this.redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.readAddress();
  }

  private readAddress(): void {
    if (location.hash.slice(1) === this.address && this.simulated !== undefined) return;
    const { state, problems } = runnable(decodeState(location.hash.slice(1)));
    this.address = location.hash.slice(1);
    this.apply(state, problems);
  }

  private change(state: PlaygroundState, isFinal: boolean): void {
    const address = encodeState(state);
    const url = `${location.pathname}${location.search}${address === "" ? "" : `#${address}`}`;
    // A slider's way to its place is one step back, not a hundred.
    if (isFinal && address !== this.address) history.pushState(null, "", url);
    if (isFinal) this.address = address;
    this.apply(state, []);
  }

  private apply(state: PlaygroundState, problems: readonly StateProblem[]): void {
    this.state = state;
    const hindrances = obstacles(state);
    const simulated = encodeState({ ...state, chart: "phase" });
    const isNew = simulated !== this.simulated;
    if (hindrances.length > 0) {
      this.simulator.cancel();
      this.simulated = undefined;
      const [{ problem }] = hindrances;
      this.failed({
        name: "Not simulated",
        message: `${problem} (see the controls); the figures are the last ones`,
      });
    } else if (isNew) {
      this.simulated = simulated;
      if (!this.isPinned && this.shown !== undefined && !this.shown.isQuick) this.before = this.shown;
      this.simulator.run(state);
    }
    // While the worker is at it.
    this.controls.show(state, [...problems, ...hindrances]);
    this.parts.show(state.chart);
    clearTimeout(this.reproduction);
    this.reproduction = setTimeout(() => this.showReproduction(hindrances.length === 0), REPRODUCTION_MS);
    if (!isNew) void this.redraw();
  }

  private busy(isQuick: boolean): void {
    byId("status").textContent = isQuick
      ? "simulating…"
      : this.shown?.isQuick
        ? `first look of ${QUICK_ITERATIONS} calls; simulating ${figure(this.state.iterations, 0)}…`
        : "simulating…";
    byId("stop").hidden = isQuick;
  }

  private stop(): void {
    this.simulator.cancel();
    byId("stop").hidden = true;
    byId("status").textContent = `stopped: a first look of ${QUICK_ITERATIONS} calls is shown`;
  }

  private async finished(shown: Shown): Promise<void> {
    this.shown = shown;
    byId("failure").replaceChildren();
    byId("stop").hidden = true;
    const { document, isQuick } = shown;
    const calls = document.runs[0]?.iterations ?? 0;
    byId("status").textContent = `${isQuick ? "first look: " : ""}${figure(calls, 0)} calls of each`;
    await this.redraw();
    if (isQuick || this.shown !== shown) return;
    this.controls.learn(document.estimates);
    byId("announcement").textContent = spokenSummary(document);
    byId("results").dataset.settled = encodeState(shown.state);
    this.showDownload(document);
  }

  private failed({ name, message }: SimulationFailure): void {
    byId("stop").hidden = true;
    byId("status").textContent = "";
    byId("failure").replaceChildren(element("p", { class: "problem" }, `${name}: ${message}`));
  }

  private async redraw(): Promise<void> {
    const chart = await this.chart;
    const { shown, before } = this;
    if (shown === undefined) return;
    const { document } = shown;
    const old = before?.document;
    const { chart: parts } = this.state;
    byId("summary").replaceChildren(summaryTable(document, old));
    byId("setting").textContent =
      `${document.guest.operation} by ${document.guest.name} on ${document.machine.name}, ${document.machine.ghz} GHz`;
    byId("ticker").replaceChildren(...shortFigures(document, old));
    byId("legend").replaceChildren(...legendItems(document, parts));
    chart.draw(document, old, parts);
    if (!this.hasDrawn) performance.mark("first-chart");
    this.hasDrawn = true;
    byId("ghost-note").textContent =
      before === undefined
        ? ""
        : `The thin bars are ${this.isPinned ? "those kept" : "the figures before the last change"}: ${encodeState(before.state) || "the defaults"}.`;
    byId("notes").replaceChildren(...notes(document).map((note) => element("li", {}, note)));
    // The long tables do not keep the chart waiting.
    clearTimeout(this.tables);
    this.tables = setTimeout(() => {
      byId("figures").replaceChildren(ledgerTable(document, old));
      byId("events").replaceChildren(countersTable(document));
      byId("estimates").replaceChildren(estimatesTable(document));
      byId("estimates-count").textContent =
        `Estimates that these figures rest on: ${document.estimates.length}`;
    });
  }

  private pin(): void {
    this.isPinned = !this.isPinned;
    if (this.isPinned && this.shown !== undefined) this.before = this.shown;
    const button = byId("pin");
    button.setAttribute("aria-pressed", String(this.isPinned));
    button.textContent = this.isPinned ? "Compare with the last change again" : "Keep this for comparison";
    void this.redraw();
  }

  private async copyLink(): Promise<void> {
    const said = byId("copied");
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "This browser does not allow it here; the address above is the link.";
    }
  }

  private showReproduction(isPossible: boolean): void {
    byId("command").textContent = isPossible ? commandLine(this.state) : "";
    byId("scenario").textContent = isPossible ? scenarioYaml(this.state) : "";
  }

  private showDownload(document: CompareDocument): void {
    if (this.download !== "") URL.revokeObjectURL(this.download);
    const text = `${JSON.stringify(document, null, 2)}\n`;
    this.download = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    byId("download").replaceChildren(
      element("a", { href: this.download, download: "comparison.json" }, "Save the result (JSON)"),
    );
  }
}

new Playground();
