import { atLabel } from "../assembler/memory.js";
import { rax } from "../assembler/register.js";
import { defineGuest } from "../guest.js";
import type { GuestProgram } from "../guest-program.js";
import { GuestSourceError } from "../guest-source-error.js";
import type { OperationName } from "../stubs/operations.gen.js";
import type { AbiName, Vendor } from "../stubs/stub-emitter.js";
import { OPERATION_SAMPLES, type OperationSample, type SampleTools } from "./operation-samples.js";

/** Each call is made so often; the last one counts. */
export const TOUR_REPEATS = 8;

/** What a tour is built for. */
export interface TourOptions {
  readonly abi: AbiName;
  readonly vendor: Vendor;
  /** Leaf size of the page tables that map the guest's image. Default `4k`. */
  readonly leaf?: "4k" | "2m";
  /** Default all that there are. */
  readonly operations?: readonly OperationName[];
  /** Whether VIRQ_TIMER is bound around the calls that are about timers, as Linux binds it; KVM then serves them. Default false. */
  readonly timerPort?: boolean;
}

/** A guest that measures one operation after the other. */
export interface OperationTour {
  readonly image: Uint8Array;
  /** Why an operation is not in it. */
  readonly left: ReadonlyMap<OperationName, string>;
  /** What the cost of one that is in it depends on, and how that is there. */
  readonly conditions: ReadonlyMap<OperationName, string>;
}

type Emit = (g: GuestProgram, tools: SampleTools) => void;

/**
 * Builds a guest that makes the call of each operation {@link TOUR_REPEATS} times between two time stamps, and prints for the last
 * one `tour: op=… cycles=… result=0x…`: cycles less those of two time stamps with nothing between, and rax.
 * What the interface cannot carry, and what cannot be called again and again, is left out.
 */
export function operationTour(options: TourOptions): OperationTour {
  const { abi, vendor, leaf = "4k", operations, timerPort = false } = options;
  const chosen = OPERATION_SAMPLES.filter(
    ({ operation }) => operations === undefined || operations.includes(operation),
  );
  const left = new Map<OperationName, string>();
  for (const name of operations ?? [])
    if (!chosen.some(({ operation }) => operation === name)) left.set(name, "no guest here calls it");
  defineGuest("trial", (g) => {
    for (const sample of chosen) {
      const problem = problemOf(g, sample);
      if (problem !== undefined) left.set(sample.operation, problem);
    }
  }).build({ abi, vendor });
  const guest = defineGuest("tour", (g) => {
    const tour = new Tour(g);
    for (const sample of chosen)
      if ("emit" in sample && !left.has(sample.operation)) {
        const { operation, emit } = sample;
        const isTimed = timerPort && ONE_SHOT_TIMER.includes(operation);
        tour.visit(operation, isTimed ? withTimerPort(emit) : emit);
      }
  });
  const conditions = new Map<OperationName, string>();
  for (const sample of chosen)
    if ("emit" in sample && sample.condition !== undefined)
      conditions.set(sample.operation, sample.condition);
  return { image: guest.build({ abi, vendor, leaf }), left, conditions };
}

/** What KVM serves by itself once it knows a port for the timer's events. */
const ONE_SHOT_TIMER: readonly OperationName[] = [
  "vcpu.set_singleshot_timer",
  "vcpu.stop_singleshot_timer",
  "set_timer_op.set",
];
const VIRQ_TIMER = 0;

function withTimerPort(emit: Emit): Emit {
  return (g, tools) => {
    const port = g.hypercall.eventChannel.bindVirq({ virq: VIRQ_TIMER, vcpu: 0 }).output("port");
    emit(g, tools);
    g.hypercall.eventChannel.close({ port });
    port.release();
  };
}

/** Why a sample cannot be built for a program's interface; found by trying. */
function problemOf(g: GuestProgram, sample: OperationSample): string | undefined {
  if ("unmeasured" in sample) return sample.unmeasured;
  const { emit } = sample;
  try {
    const tools = toolsOf(g);
    emit(g, { ...tools, again: (body) => body(), measured: (call) => void call() });
    return undefined;
  } catch (error) {
    if (!(error instanceof GuestSourceError) || error.code !== "UNSUPPORTED_BY_ABI") throw error;
    return error.message.replace(/^[a-z_]+\.\w+: /, "");
  }
}

function toolsOf(g: GuestProgram): Omit<SampleTools, "again" | "measured"> {
  return { data: g.buffer(4096, 4096), list: g.buffer(4096, 4096), spare: g.buffer(4096, 4096) };
}

class Tour {
  private readonly g: GuestProgram;
  private readonly tools: SampleTools;

  constructor(g: GuestProgram) {
    this.g = g;
    const cycles = g.buffer(8);
    const nothing = g.buffer(8);
    const result = g.buffer(8);
    this.tools = {
      ...toolsOf(g),
      again: (body) => {
        g.repeat(TOUR_REPEATS, body);
      },
      measured: (call) => {
        const between = g.measure(() => {
          call();
          g.asm.mov(atLabel(result.label), rax);
        });
        g.asm.mov(atLabel(cycles.label), between.register);
        between.release();
      },
    };
    g.repeat(TOUR_REPEATS, () => {
      const between = g.measure(() => g.asm.mov(atLabel(result.label), rax));
      g.asm.mov(atLabel(nothing.label), between.register);
      between.release();
    });
    this.report = () => {
      const variable = g.variable(0);
      g.asm.mov(variable.register, atLabel(cycles.label));
      g.asm.alu("sub", variable.register, atLabel(nothing.label));
      g.printDecimal(variable);
      g.print(" result=");
      g.asm.mov(variable.register, atLabel(result.label));
      g.printHex(variable);
      variable.release();
    };
  }

  private readonly report: () => void;

  visit(operation: OperationName, emit: Emit): void {
    const { g } = this;
    emit(g, this.tools);
    g.print(`tour: op=${operation} cycles=`);
    this.report();
    g.print("\n");
  }
}
