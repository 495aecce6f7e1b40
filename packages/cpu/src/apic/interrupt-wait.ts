import { Cause } from "@hyperwalk/mmu";
import { Activity, Attention, Flag, Shadow, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import { StopReason } from "../execution-engine.js";
import type { Processor } from "../processor.js";
import { initState, startUpState } from "../reset-state.js";
import { PendingSignal } from "./processor-apic.js";

/** Answer of {@link InterruptWait.take}: nothing to deliver. */
export const NO_EVENT = -1;
/** … and: INIT has replaced all state; {@link InterruptWait.sleep} knows how it goes on. */
export const AFTER_INIT = -2;

const SIGNATURE_LEAF = 1;

/** What wakes or interrupts a processor outside guest mode: INIT, SIPI, NMI, and what its local APIC has pending. */
export class InterruptWait {
  private readonly processor: Processor;

  constructor(processor: Processor) {
    this.processor = processor;
  }

  /**
   * Takes what is due between two instructions, by priority: INIT, NMI, external interrupt (SDM vol. 3, table 6-2).
   * @returns a vector to deliver, or {@link NO_EVENT}
   */
  take(): number {
    const { processor } = this;
    const { words } = processor.state;
    if (words[State.PendingSignals] !== 0 && this.signal()) return AFTER_INIT;
    const shadow = words[State.InterruptShadow];
    if (words[State.NmiPending] !== 0) {
      if (words[State.NmiBlocked] === 0 && (shadow & Shadow.MovSs) !== Shadow.MovSs) {
        words[State.NmiPending] = 0;
        words[State.NmiBlocked] = 1;
        return Vector.Nmi;
      }
    } else if (processor.apic.pending < 0) words[State.Attention] &= ~Attention.Interrupt;
    if ((words[State.Flags] & Flag.If) === 0 || shadow !== 0) return NO_EVENT;
    return processor.apic.acknowledge();
  }

  /**
   * Lets time pass for a processor that waits, from one timer event to the next.
   * @returns a `StopReason`, or -1 once it runs again
   */
  sleep(maxTicks: number): number {
    const { processor } = this;
    const { ledger, apic, state } = processor;
    const { words } = state;
    // Who runs a guest decides how it waits.
    if (processor.guestMode !== null) return this.stop(Number.POSITIVE_INFINITY, maxTicks);
    for (;;) {
      apic.advance();
      if (words[State.PendingSignals] !== 0) this.signal();
      if (words[State.Activity] === Activity.Running) return -1;
      if (this.wakes()) {
        words[State.Activity] = Activity.Running;
        words[State.Attention] |= Attention.Interrupt;
        return -1;
      }
      // One of several sleeps for as long as the group says.
      if (apic.bus !== null) return StopReason.Halted;
      // The timer only has maskable interrupts.
      const canWake = words[State.Activity] === Activity.Halted && (words[State.Flags] & Flag.If) !== 0;
      const due = canWake && apic.timerCanInterrupt ? apic.due : Number.POSITIVE_INFINITY;
      if (due > maxTicks || due === Number.POSITIVE_INFINITY) return this.stop(due, maxTicks);
      if (due > ledger.clock[0]) ledger.charge(Cause.Idle, due - ledger.clock[0]);
    }
  }

  private stop(due: number, maxTicks: number): number {
    const { ledger, state } = this.processor;
    if (due !== Number.POSITIVE_INFINITY) {
      if (maxTicks > ledger.clock[0]) ledger.charge(Cause.Idle, maxTicks - ledger.clock[0]);
      return StopReason.Budget;
    }
    // Whoever runs it again means it to go on.
    if (state.words[State.Activity] === Activity.Halted) state.words[State.Activity] = Activity.Running;
    return StopReason.Halted;
  }

  private wakes(): boolean {
    const { apic, state } = this.processor;
    const { words } = state;
    if (words[State.Activity] !== Activity.Halted) return false;
    if (words[State.NmiPending] !== 0 && words[State.NmiBlocked] === 0) return true;
    return (words[State.Flags] & Flag.If) !== 0 && apic.pending >= 0;
  }

  /**
   * INIT resets, and has application processors wait for a SIPI, which means something only then.
   * @returns whether it was INIT
   */
  private signal(): boolean {
    const { processor } = this;
    const { words } = processor.state;
    const signals = words[State.PendingSignals];
    words[State.PendingSignals] = 0;
    if ((signals & PendingSignal.Init) !== 0) {
      const leaf = processor.profile.cpuid.find((row) => row[0] === SIGNATURE_LEAF);
      initState(words, (leaf?.[2] ?? 0) | 0);
      processor.apic.reset();
      const bootstrap = (processor.apic.base[0] & 0x100) !== 0;
      words[State.Activity] = bootstrap ? Activity.Running : Activity.WaitForSipi;
      processor.mmu.invalidateAll();
      processor.syncTranslation();
    }
    if ((signals & PendingSignal.StartUp) !== 0 && words[State.Activity] === Activity.WaitForSipi)
      startUpState(words, (signals >>> PendingSignal.VectorShift) & 0xff);
    return (signals & PendingSignal.Init) !== 0;
  }
}
