import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { Attention, State } from "../cpu-state.js";
import type { Processor } from "../processor.js";
import { DeliveryMode } from "./apic-register.js";
import { LocalApic, type LocalApicHost } from "./local-apic.js";

/** Input clock of the timer: 100 MHz, the reference clock of AMD parts and the bus clock of Xeons (estimate). */
const TIMER_MHZ = 100;
const FEATURE_X2APIC = 1 << 21;
const FEATURE_TSC_DEADLINE = 1 << 24;

/** Bits of `State.PendingSignals`; a start-up vector is bits 15:8. */
export const PendingSignal = { Init: 1, StartUp: 2, VectorShift: 8 } as const;

/** The local APIC of a processor, wired to its clock, state words and features. @param id initial APIC ID */
export function createProcessorApic(processor: Processor, id: number, bootstrap: boolean): LocalApic {
  const { ledger, state, profile } = processor;
  const features = profile.cpuid.find((row) => row[0] === 1)?.[4] ?? 0;
  const attend = (reason: number) => {
    state.words[State.Attention] |= reason;
  };
  const host: LocalApicHost = {
    get now() {
      return ledger.clock[0];
    },
    timeOfTimestamp: (cycles) => (cycles - processor.timestampBase) * TICKS_PER_CYCLE,
    interruptMayBeDue: () => attend(Attention.Interrupt),
    timerChanged: () => attend(Attention.Timer),
    taskPriorityChanged: (priority) => {
      state.words[State.Cr8] = priority;
    },
    signal: (mode, vector) => {
      const { words } = state;
      if (mode === DeliveryMode.Nmi) words[State.NmiPending] = 1;
      else if (mode === DeliveryMode.Init) words[State.PendingSignals] |= PendingSignal.Init;
      else if (mode === DeliveryMode.StartUp)
        words[State.PendingSignals] |= PendingSignal.StartUp | (vector << PendingSignal.VectorShift);
      attend(Attention.Interrupt);
    },
  };
  return new LocalApic(host, {
    id,
    bootstrap,
    physicalAddressBits: profile.memory.physicalAddressBits,
    x2apic: (features & FEATURE_X2APIC) !== 0,
    tscDeadline: (features & FEATURE_TSC_DEADLINE) !== 0,
    ticksPerCount: Math.round((profile.ghz * 1000 * TICKS_PER_CYCLE) / TIMER_MHZ),
  });
}
