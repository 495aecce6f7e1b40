import { findProfile, PROFILES, type ProcessorProfile } from "@hyperwalk/cpu";
import { isStagePrice, resolveXenConfig } from "@hyperwalk/xen";
import {
  ABIS,
  type AbiName,
  BUILT_IN_GUESTS,
  type EstimateUsed,
  GUEST_OPERATIONS,
  GUEST_PAGES,
  type GuestOperation,
  type GuestPage,
  P2M_PAGES,
  type P2mPage,
} from "hyperwalk";
import { requestOf } from "./comparison.js";
import { element } from "./dom.js";
import { ChecksField, type Field, SelectField } from "./fields.js";
import { figure } from "./figures.js";
import { MITIGATIONS } from "./mitigations.js";
import { NumberSection } from "./number-section.js";
import { NUMBER_GROUPS, numberInputs, stageInputs } from "./numbers.js";
import {
  guestOf,
  type HostKind,
  ITERATIONS,
  operationRun,
  type PlaygroundState,
  possibleInterfaces,
  type Switch,
} from "./state.js";
import type { StateProblem } from "./state-url.js";

const ABI_TEXTS: Readonly<Record<AbiName, string>> = {
  linear: "guest-virtual addresses: Xen walks the guest's tables",
  physaddr: "guest-physical addresses: HVMv2, RFC of 2025",
  percall: "physical or virtual, a bit in each call",
  "sg-frames": "scatter/gather: lists of frames",
  "sg-tuples": "scatter/gather: address and length",
  "sg-descriptor": "scatter/gather: a descriptor in memory",
  registered: "buffers registered beforehand",
  fastabi: "no pointers, eight registers: FastABI, RFC of 2025",
};

/** Tells what the reader changed. */
export interface ControlsListener {
  /** @param isFinal false while a slider is being moved */
  changed(change: Partial<PlaygroundState>, isFinal: boolean): void;
  reset(): void;
}

/** The form: a control for each key of the state. */
export class Controls {
  private readonly listener: ControlsListener;
  private readonly machine: SelectField<string>;
  private readonly interfaces: ChecksField<AbiName>;
  private readonly host: SelectField<HostKind>;
  private readonly guest: SelectField<string>;
  private readonly operation: SelectField<GuestOperation>;
  private readonly guestPage: SelectField<GuestPage>;
  private readonly p2mPage: SelectField<P2mPage>;
  private readonly execSp: SelectField<Switch>;
  private readonly mmioHandlers: SelectField<string>;
  private readonly iterations: SelectField<string>;
  private readonly ibpb: SelectField<Switch>;
  private readonly mitigations: ReadonlyMap<string, SelectField<string>>;
  private readonly other: HTMLElement = element("p", { class: "problem", role: "alert" });
  /** One for each group, and one for the rest. */
  private readonly numbers: readonly NumberSection[];
  private readonly stages: NumberSection;
  /** Of the code of the hypervisor in the last result, by key; as they are when nothing is replaced. */
  private readonly estimates = new Map<string, EstimateUsed>();
  private state: PlaygroundState | undefined;

  constructor(form: HTMLElement, listener: ControlsListener) {
    this.listener = listener;
    const change = (part: Partial<PlaygroundState>) => listener.changed(part, true);
    const same = <T extends string>(values: readonly T[]) => values.map((value) => [value, value] as const);
    this.machine = new SelectField(
      "machine.profile",
      "Processor",
      PROFILES.map(({ id, name }) => [id, name] as const),
      (machine) => change({ machine }),
    );
    this.interfaces = new ChecksField(
      "interfaces",
      "Hypercall interfaces",
      ABIS.map((abi) => [abi, ABI_TEXTS[abi]] as const),
      (interfaces) => change({ interfaces }),
    );
    this.host = new SelectField(
      "host.kind",
      "Hypervisor",
      [
        ["xen", "Xen"],
        ["kvm", "KVM with Xen emulation"],
        ["xen,kvm", "both"],
      ],
      (host) => change({ host }),
    );
    this.guest = new SelectField(
      "guest.name",
      "Guest",
      same(BUILT_IN_GUESTS.map(({ name }) => name)),
      (guest) => change({ guest }),
    );
    this.operation = new SelectField("guest.operation", "Operation", same(GUEST_OPERATIONS), (operation) =>
      change({ operation }),
    );
    this.guestPage = new SelectField("guest.page", "Guest's pages", sizes(GUEST_PAGES), (guestPage) =>
      change({ guestPage }),
    );
    this.p2mPage = new SelectField(
      "domain.p2m-page",
      "Second stage's pages (p2m)",
      sizes(P2M_PAGES),
      (p2mPage) => change({ p2mPage }),
    );
    this.execSp = new SelectField(
      "host.ept",
      "Execution from its superpages",
      [
        ["default", "as Xen chooses"],
        ["on", "allowed"],
        ["off", "not allowed"],
      ],
      (execSp) => change({ execSp }),
    );
    this.mmioHandlers = new SelectField(
      "domain.mmio-handlers",
      "MMIO handlers asked on each copy",
      same(Array.from({ length: 17 }, (_, count) => String(count))),
      (text) => change({ mmioHandlers: Number(text) }),
    );
    this.iterations = new SelectField(
      "guest.iterations",
      "Hypercalls measured",
      ITERATIONS.map((count) => [String(count), figure(count, 0)] as const),
      (text) => change({ iterations: Number(text) }),
    );
    this.ibpb = new SelectField(
      "host.ibpb",
      "IBPB on each exit",
      [
        ["default", "as the hypervisor chooses"],
        ["on", "on"],
        ["off", "off"],
      ],
      (ibpb) => change({ ibpb }),
    );
    this.mitigations = new Map(
      MITIGATIONS.map(({ name, label, values }) => [
        name,
        new SelectField(
          `host.spec-ctrl ${name}`,
          label,
          [["default", "as Xen chooses"] as const, ...same(Object.keys(values))],
          (value) => this.mitigate(name, value),
        ),
      ]),
    );
    const numbers = {
      changed: (values: ReadonlyMap<string, number | undefined>, isFinal: boolean) =>
        this.replace(values, isFinal),
    };
    this.numbers = [...NUMBER_GROUPS.map(({ title }) => title), "All other numbers of the processor"].map(
      (title) => new NumberSection(title, numbers),
    );
    this.stages = new NumberSection("Estimates of the hypervisor's code", numbers);
    const reset = element("button", { type: "button" }, "Reset everything");
    reset.addEventListener("click", () => listener.reset());
    form.append(
      this.other,
      group("Machine", this.machine, this.host),
      element("div", { class: "section" }, this.interfaces.node),
      group("Guest", this.guest, this.operation, this.guestPage, this.iterations),
      group("Domain", this.p2mPage, this.execSp, this.mmioHandlers),
      group("Mitigations", this.ibpb, ...this.mitigations.values()),
      ...[...this.numbers, this.stages].map(({ node }) => node),
      reset,
    );
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** Shows a state, and beside each control what was wrong with what was asked of it. */
  show(state: PlaygroundState, problems: readonly StateProblem[]): void {
    this.state = state;
    const profile = findProfile(state.machine);
    if (profile === undefined) return;
    this.machine.show(state.machine);
    this.host.show(state.host);
    this.interfaces.show(
      state.interfaces,
      possibleInterfaces(state, ABIS),
      state.host === "kvm" ? "not in KVM, or not in this guest" : `${state.guest} has no stubs for it`,
    );
    this.guest.show(state.guest);
    const { operations } = guestOf(state);
    this.operation.disable(GUEST_OPERATIONS.filter((each) => !operations.includes(each)));
    const run = operationRun(state);
    this.operation.show(
      run,
      run === state.operation ? "" : `${state.guest} does not call ${state.operation}`,
    );
    this.guestPage.show(state.guestPage);
    this.p2mPage.show(state.p2mPage);
    const isXen = state.host !== "kvm";
    const isIntel = profile.vendor === "intel";
    this.execSp.show(state.execSp, isIntel ? "" : "AMD's have no such switch", isIntel && isXen);
    this.mmioHandlers.show(String(state.mmioHandlers));
    this.iterations.show(String(state.iterations));
    this.showMitigations(state, profile, isXen);
    this.showNumbers(state, profile);
    this.complain(problems);
  }

  /** Takes note of the estimates that a result rests on: those of the hypervisor's code can be replaced, too. */
  learn(estimates: readonly EstimateUsed[]): void {
    for (const estimate of estimates)
      if (isStagePrice(estimate.key) && !Object.hasOwn(this.state?.set ?? {}, estimate.key))
        this.estimates.set(estimate.key, estimate);
    const profile = this.state && findProfile(this.state.machine);
    if (this.state !== undefined && profile !== undefined) this.showNumbers(this.state, profile);
  }

  /** Every problem beside its control; what belongs to none at the top. */
  complain(problems: readonly StateProblem[]): void {
    const fields: Field[] = [
      this.machine,
      this.host,
      this.interfaces,
      this.guest,
      this.operation,
      this.guestPage,
      this.iterations,
      this.p2mPage,
      this.execSp,
      this.mmioHandlers,
      this.ibpb,
      ...this.mitigations.values(),
    ];
    const left = new Set(problems);
    for (const section of [...this.numbers, this.stages])
      for (const each of section.complain(problems)) left.delete(each);
    for (const field of fields) {
      const own = problems.find(({ key }) => belongsTo(key, field.key));
      field.complain(own);
      for (const each of problems) if (belongsTo(each.key, field.key)) left.delete(each);
    }
    this.other.textContent = [...left]
      .map(
        ({ key, problem, allowed }) =>
          `Not taken: ${key === "" ? "" : `${key}: `}${problem}. Allowed: ${allowed}.`,
      )
      .join(" ");
  }

  private showMitigations(state: PlaygroundState, profile: ProcessorProfile, isXen: boolean): void {
    const { mitigations: asked = {} } = requestOf(state);
    const resolved = resolveXenConfig(asked, profile);
    const { defaults } = profile;
    const chosen = resolveXenConfig({}, profile);
    this.ibpb.rename("default", isXen ? `as Xen chooses: ${onOff(chosen.ibpbEntry)}` : "as Linux chooses");
    this.ibpb.show(state.ibpb, state.ibpb === "default" && isXen ? ibpbReason(defaults.ibpbEntry) : "");
    const effective: Readonly<Record<string, boolean>> = {
      rsb: resolved.rsbOverwrite,
      "msr-sc": resolved.specCtrlWrite,
      verw: resolved.verw,
      bhb: resolved.bhbClear,
      "l1d-flush": resolved.l1dFlush,
      "lock-harden": resolved.lockHarden,
    };
    for (const { name, idle } of MITIGATIONS) {
      const field = this.mitigations.get(name);
      const reason = isXen ? idle(profile) : "a switch of Xen's";
      const value = state.mitigations[name] ?? "default";
      field?.rename(
        "default",
        `as Xen chooses${value === "default" && isXen ? `: ${onOff(effective[name])}` : ""}`,
      );
      const isOff = value !== "default" && value !== "off" && !effective[name];
      field?.show(
        value,
        reason ?? (isOff ? "stays off: another one does its work" : ""),
        reason === undefined,
      );
    }
  }

  private showNumbers(state: PlaygroundState, profile: ProcessorProfile): void {
    const inputs = numberInputs(profile);
    const among = (keys: readonly string[]) =>
      keys.flatMap((key) => inputs.find((each) => each.key === key) ?? []);
    for (const [at, { keys }] of NUMBER_GROUPS.entries())
      this.numbers[at].show(profile.id, among(keys), state.set);
    const grouped = new Set(NUMBER_GROUPS.flatMap(({ keys }) => keys));
    const rest = inputs.filter(({ key }) => !grouped.has(key));
    this.numbers[NUMBER_GROUPS.length].show(profile.id, rest, state.set);
    this.stages.show(profile.id, stageInputs(this.estimates, state.set), state.set);
  }

  private replace(values: ReadonlyMap<string, number | undefined>, isFinal: boolean): void {
    const set = { ...this.state?.set };
    for (const [key, value] of values)
      if (value === undefined) delete set[key];
      else set[key] = value;
    this.listener.changed({ set }, isFinal);
  }

  private mitigate(name: string, value: string): void {
    const { [name]: _before, ...others } = this.state?.mitigations ?? {};
    this.listener.changed({ mitigations: value === "default" ? others : { ...others, [name]: value } }, true);
  }
}

function group(title: string, ...fields: readonly Field[]): HTMLElement {
  const legend = element("legend", {}, title);
  return element(
    "div",
    { class: "section" },
    element("fieldset", {}, legend, ...fields.map(({ node }) => node)),
  );
}

function sizes<T extends string>(pages: readonly T[]): (readonly [T, string])[] {
  const texts: Readonly<Record<string, string>> = { "4k": "4 KiB", "2m": "2 MiB", "1g": "1 GiB" };
  return pages.map((page) => [page, texts[page]] as const);
}

function onOff(value: boolean): string {
  return value ? "on" : "off";
}

function ibpbReason(isOn: boolean): string {
  return isOn ? "on with microcode of August 2023 or newer" : "";
}

/** A problem with `host.spec-ctrl` is shown once, beside the first of its parts. */
function belongsTo(key: string, field: string): boolean {
  return key === field || (key === "host.spec-ctrl" && field === `host.spec-ctrl ${MITIGATIONS[0].name}`);
}
