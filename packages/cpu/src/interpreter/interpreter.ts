import { Cause, FaultKind } from "@hyperwalk/mmu";
import { AFTER_INIT, InterruptWait, NO_EVENT } from "../apic/interrupt-wait.js";
import {
  Activity,
  Attention,
  Dirty,
  Flag,
  GuestRun,
  Segment,
  SegmentWord,
  Shadow,
  State,
} from "../cpu-state.js";
import { Dr6, Dr7 } from "../debug/breakpoints.js";
import { Disassembler } from "../disassembler/disassembler.js";
import { EventDelivery, makesDoubleFault } from "../exceptions/deliver.js";
import { pushesErrorCode, Vector } from "../exceptions/vector.js";
import {
  type EngineSnapshot,
  type ExecutionEngine,
  StopReason,
  type UnsupportedInstruction,
} from "../execution-engine.js";
import { Intercept } from "../guest-mode.js";
import { MmioAccess } from "../mmio/mmio-access.js";
import type { Processor } from "../processor.js";
import { conditionHolds, oddParity, packFlags, setArithmeticFlags, unpackFlags } from "../registers/flags.js";
import { InstructionCosts } from "../timing/instruction-costs.js";
import { EventKind } from "../virtualized-processor.js";
import { multiplyHigh } from "../word-product.js";
import { BlockBuilder } from "./block-builder.js";
import { Block, type BlockArrays, BlockStore, blockArrays, Further } from "./block-store.js";
import { ExecutionCore } from "./core.js";
import { Entry, Status } from "./entry.js";
import { multiplySigned64 } from "./families/multiply.js";
import { hypercall } from "./families/virtualization.js";
import { HANDLERS } from "./handlers.js";
import { ModeBits } from "./mode-bits.js";

/**
 * Most instructions of one call of the loop. V8 replaces a running function where it stands by code that knows less than
 * what it makes for the next call, so the loop is called anew from time to time.
 */
const SLICE = 1 << 20;

/** Issue ticks after which they are put into the ledger: what a block adds must not overflow an integer. */
const MAX_OWED = 0x3fffffff;

/** Continue with the next block; other answers of the slow paths are `StopReason` numbers. */
const GO_ON = -1;

/** Reasons why the block that just ran was of one instruction. */
const AFTER_SHADOW = 1;
const AFTER_TRAP_FLAG = 2;
const AFTER_BREAKPOINTS = 4;
const AFTER_RESUME_FLAG = 8;
const AFTER_MONITOR_TRAP = 16;
const DEBUG_TRAPS = AFTER_TRAP_FLAG | AFTER_BREAKPOINTS;

/** By status: the instruction will be executed again, so RF is not used up. */
const NOT_RETIRED = [0, 0, 1, 1, 0, 1, 0, 0, 0] as const;

/** By StopReason: what comes next is not the next run of the same code. */
const ENDS_STRING = [1, 0, 1, 1, 1, 0, 0] as const;

const product: Int32Array = new Int32Array(2);

function swapBytes(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}

/**
 * The reference execution engine: decoded basic blocks, one switch over their entries, everything that is not frequent
 * through handlers by instruction family.
 *
 * A block's issue cost and instruction count are charged when it is entered; whoever leaves it early gives back what was
 * not executed. Arithmetic flags live in local variables while the loop runs and in the state words outside.
 */
export class Interpreter implements ExecutionEngine {
  lastUnsupported: UnsupportedInstruction | undefined;
  readonly core: ExecutionCore;
  private readonly processor: Processor;
  /** Instructions retired before the loop began. */
  private retired = 0;
  private readonly store: BlockStore;
  private readonly builder: BlockBuilder;
  private readonly delivery: EventDelivery;
  private readonly disassembler: Disassembler = new Disassembler();
  private readonly waiting: InterruptWait;
  private readonly mmio: MmioAccess;
  /** Runs blocks until something stops it. State words hold RIP and flags before and after, locals in between. */
  private execute!: (limit: number, maxTicks: number) => number;
  /** What stopped the latest event delivery for good; {@link GO_ON} otherwise. */
  private pendingStop: number = GO_ON;
  /** What looks like a fetch that faulted is the place to stop at. */
  private stopsHere = false;

  constructor(processor: Processor, blocks: BlockArrays = blockArrays()) {
    this.processor = processor;
    this.core = new ExecutionCore(processor);
    this.store = new BlockStore(processor.memory, blocks);
    this.builder = new BlockBuilder(
      processor.mmu,
      this.store,
      new InstructionCosts(processor.profile.timing),
      this.core.amd,
      processor.stopPoint,
    );
    this.delivery = new EventDelivery(this.core);
    this.waiting = new InterruptWait(processor);
    this.mmio = new MmioAccess(processor, this.core);
    this.core.code = this.store.code;
    processor.arena.adopt(() => {
      this.execute = this.loop();
    });
    // Processors that share memory all hear of writes to code.
    const others = processor.memory.onCodeWrite;
    processor.memory.onCodeWrite = (frameOffset) => {
      others?.(frameOffset);
      this.store.dropFrame(frameOffset);
    };
  }

  /** Instructions retired so far; in a handler those before the instruction that it executes. */
  get instructions(): number {
    return this.retired + this.core.underway / Entry.Stride;
  }

  rflags(): number {
    return packFlags(this.core.words);
  }

  setRflags(value: number): void {
    unpackFlags(this.core.words, value);
  }

  /** Forgets every decoded block; for tests and after memory was replaced wholesale. */
  dropBlocks(): void {
    this.store.clear();
  }

  snapshot(): EngineSnapshot {
    const { instructions, pendingStop } = this;
    return { instructions, pendingStop, resuming: this.core.resuming };
  }

  restore(snapshot: EngineSnapshot): void {
    this.retired = snapshot.instructions;
    this.pendingStop = snapshot.pendingStop;
    this.core.resuming = snapshot.resuming;
    this.lastUnsupported = undefined;
    this.dropBlocks();
  }

  run(maxInstructions: number, maxTicks: number): number {
    const { core, processor } = this;
    let left = maxInstructions;
    if (this.pendingStop !== GO_ON) {
      const stop = this.pendingStop;
      this.pendingStop = GO_ON;
      return stop;
    }
    for (;;) {
      if (left <= 0) return StopReason.Budget;
      if (core.words[State.Activity] !== Activity.Running) {
        const stop = this.waiting.sleep(maxTicks);
        if (stop !== GO_ON) return stop;
      }
      processor.memory.grow();
      if (core.words[State.FlagsSource] === 0) setArithmeticFlags(core.words, core.words[State.Flags]);
      core.words[State.ZeroLo] = 0;
      core.words[State.ZeroHi] = 0;
      core.syncMode();
      core.syncDebug();
      const { apic } = processor;
      apic.advance();
      const before = this.retired;
      // Not Math.min: its result is a new number, which V8 would allocate to pass it on.
      const { due } = apic;
      const stop = this.execute(Math.min(left, SLICE), due < maxTicks ? due : maxTicks);
      left -= this.retired - before;
      if (ENDS_STRING[stop] !== 0) core.resuming = false;
      if (stop === StopReason.Halted) {
        const woken = this.waiting.sleep(maxTicks);
        if (woken !== GO_ON) return woken;
        continue;
      }
      if (stop !== StopReason.Budget || processor.ledger.clock[0] >= maxTicks) return stop;
    }
  }

  /** Makes {@link execute}: a closure, because V8 takes what the first one of a process captures for constants. */
  private loop(): (limit: number, maxTicks: number) => number {
    const { core, processor, store, builder } = this;
    const { mmu, ledger, words, view, u8, code: entries } = core;
    const { predictor } = processor;
    const { blocks: records, heads: firsts } = store;
    const { cells: accounts, clock: ticked } = ledger;
    const { i32 } = processor.arena;
    const { dataRows, fetchRows, recencyAt, recencyLimit } = mmu;
    return (limit, maxTicks) => {
      // Captured names are checked for being there at each use, locals are not.
      const w = words;
      const lines = i32;
      const code = entries;
      const blocks = records;
      const heads = firsts;
      const cells = accounts;
      const clock = ticked;
      const handlers = HANDLERS;
      const issue = ledger.base + Cause.Issue;
      const most = limit | 0;
      clock[1] = maxTicks;

      let executed = 0;
      let ripLo = w[State.RipLo];
      let ripHi = w[State.RipHi];
      let zero = w[State.FlagsZero];
      let sign = w[State.FlagsSign];
      let parity = w[State.FlagsParity];
      let carry = w[State.FlagsCarry];
      // What the code segment means for the loop; taken anew after every handler that may change it.
      let mode = 0;
      let hiMask = 0;
      let canonicalShift = 0;
      let codeBase = 0;
      let codeLimit = -1;
      let stale = true;
      let after = 0;
      // A repeated string goes on: its instruction has begun already.
      let again = false;
      let stop = GO_ON;
      // Issue ticks of blocks that are not in the ledger yet.
      let owed = 0;
      // The line fetched latest while nothing else was (bit 0 set: none), where it is, and what tells that it still is there.
      let lineLo = 1;
      let lineHi = 0;
      let lineAt = 0;
      let lineWay = 0;
      let lineGeneration = 0;
      let lineEntry = 0;
      let entryGeneration = 0;
      // The block that ran latest, and where it started.
      let block = 0;
      let startLo = 0;
      let count = 0;
      let cost = 0;
      let first = 0;

      next: for (;;) {
        if (after !== 0) {
          // A block of one instruction has run: its interrupt shadow ends, its trap flag traps.
          const why = after;
          after = 0;
          cells[issue] += owed;
          clock[0] += owed;
          owed = 0;
          if ((w[State.InterruptShadow] & Shadow.Ending) !== 0) w[State.InterruptShadow] = Shadow.None;
          stale = true;
          if ((why & AFTER_MONITOR_TRAP) !== 0) this.monitorTrap();
          if ((why & DEBUG_TRAPS) !== 0) {
            w[State.RipLo] = ripLo;
            w[State.RipHi] = ripHi;
            w[State.FlagsZero] = zero;
            w[State.FlagsSign] = sign;
            w[State.FlagsParity] = parity;
            w[State.FlagsCarry] = carry;
            stop = this.debugTrap(
              (why & AFTER_TRAP_FLAG) !== 0 && !core.trapFlagCleared ? Dr6.SingleStep : 0,
            );
            core.trapFlagCleared = false;
            if (stop !== GO_ON) break;
            ripLo = w[State.RipLo];
            ripHi = w[State.RipHi];
          }
        }
        if (w[State.Attention] !== 0) {
          cells[issue] += owed;
          clock[0] += owed;
          owed = 0;
          w[State.RipLo] = ripLo;
          w[State.RipHi] = ripHi;
          w[State.FlagsZero] = zero;
          w[State.FlagsSign] = sign;
          w[State.FlagsParity] = parity;
          w[State.FlagsCarry] = carry;
          stop = this.attend();
          ripLo = w[State.RipLo];
          ripHi = w[State.RipHi];
          if (stop !== GO_ON) break;
          stale = true;
          if (core.breakpoints.armed) after = AFTER_BREAKPOINTS;
        }
        if (executed >= most || clock[0] + owed >= clock[1]) {
          stop = StopReason.Budget;
          break;
        }
        if (stale || owed > MAX_OWED) {
          stale = false;
          lineLo = 1;
          cells[issue] += owed;
          clock[0] += owed;
          owed = 0;
          mode = core.modeBits;
          hiMask = core.mode === 64 ? -1 : 0;
          ripHi &= hiMask;
          canonicalShift = (w[State.Cr4] & 0x1000) !== 0 ? 24 : 15;
          const cs = State.Segments + 8 * Segment.Cs;
          codeBase = hiMask === 0 ? w[cs + SegmentWord.BaseLo] : 0;
          codeLimit = hiMask === 0 ? w[cs + SegmentWord.Limit] : -1;
          const shadow = w[State.InterruptShadow];
          if (shadow !== 0) {
            after |= AFTER_SHADOW;
            w[State.InterruptShadow] = shadow | Shadow.Ending;
          }
          if ((w[State.GuestMode] & GuestRun.MonitorTrap) !== 0) after |= AFTER_MONITOR_TRAP;
          const flags = w[State.Flags];
          if ((flags & (Flag.Tf | Flag.Rf)) !== 0) {
            if ((flags & Flag.Tf) !== 0) after |= AFTER_TRAP_FLAG;
            if ((flags & Flag.Rf) !== 0) {
              after |= AFTER_RESUME_FLAG;
              w[State.Flags] = flags & ~Flag.Rf;
            }
          }
          if (after !== 0) {
            mode |= ModeBits.Single;
            if ((after & AFTER_BREAKPOINTS) !== 0) {
              core.breakpoints.hits = 0;
              // RF holds instruction breakpoints off, and on Intel MOV SS too (SDM vol. 3, 18.3.1.1; not on AMD).
              const shadowed = !core.amd && (shadow & Shadow.MovSs) === Shadow.MovSs;
              const held = again || (after & AFTER_RESUME_FLAG) !== 0 || shadowed;
              const hits = held ? 0 : core.breakpoints.codeAt((ripLo + codeBase) | 0, ripHi);
              if (hits !== 0) {
                w[State.RipLo] = ripLo;
                w[State.RipHi] = ripHi;
                w[State.FlagsZero] = zero;
                w[State.FlagsSign] = sign;
                w[State.FlagsParity] = parity;
                w[State.FlagsCarry] = carry;
                after = 0;
                stop = this.debugException(hits);
                if (stop !== GO_ON) break;
                ripLo = w[State.RipLo];
                ripHi = w[State.RipHi];
                stale = true;
                continue;
              }
            }
          }
          again = false;
        }

        // The block at RIP.
        w[State.RipLo] = ripLo;
        w[State.RipHi] = ripHi;
        const linearLo = (ripLo + codeBase) | 0;
        // Fetching the newest line of its set and TLB once more would change nothing: the order of stamps stays.
        const sameLine =
          (linearLo & -64) === lineLo &&
          ripHi === lineHi &&
          lines[lineWay] === lineGeneration &&
          lines[lineEntry] === entryGeneration;
        if (!sameLine || linearLo !== startLo) {
          const offset = sameLine ? lineAt | (linearLo & 63) : mmu.fetch(linearLo, ripHi);
          if (!sameLine) {
            lineLo = 1;
            const row = (fetchRows + ((((linearLo >>> 6) ^ (linearLo >>> 15)) & 511) << 3)) | 0;
            if (lines[(row + 2) | 0] !== 0 && offset >= 0) {
              lineLo = linearLo & -64;
              lineHi = ripHi;
              lineAt = offset & -64;
              lineWay = lines[(row + 4) | 0];
              lineGeneration = lines[(row + 5) | 0];
              lineEntry = lines[(row + 6) | 0];
              entryGeneration = lines[(row + 7) | 0];
            }
          }
          block = 0;
          if (offset >= 0) {
            block = heads[(offset ^ (offset >>> 12) ^ (mode << 9)) & 0x7fff];
            while (block !== 0 && (blocks[block] !== offset || blocks[(block + 1) | 0] !== mode))
              block = blocks[(block + 7) | 0];
            if (block === 0) block = builder.build(u8, offset, mode, linearLo, ripHi);
            if (block > 0 && blocks[(block + 5) | 0] !== 0) {
              lineLo = 1;
              const further = blocks[block + 5] & 15;
              for (let line = 1; line <= further; line++) mmu.fetch((linearLo & -64) + (line << 6), ripHi);
              if (blocks[block + 6] !== 0) block = this.checkFetch(block, offset, mode, linearLo, ripHi);
            }
          }
          if (codeLimit !== -1 && block > 0)
            block = this.withinLimit(block, offset, mode, linearLo, (codeLimit >>> 0) - (ripLo >>> 0) + 1);
          const outside = codeLimit !== -1 && (ripLo >>> 0 > codeLimit >>> 0 || (offset >= 0 && block === 0));
          if (block <= 0 || offset < 0 || outside) {
            cells[issue] += owed;
            clock[0] += owed;
            owed = 0;
            w[State.FlagsZero] = zero;
            w[State.FlagsSign] = sign;
            w[State.FlagsParity] = parity;
            w[State.FlagsCarry] = carry;
            if (outside) core.protection();
            else core.memoryFault(Segment.Cs);
            if ((after & AFTER_RESUME_FLAG) !== 0) w[State.Flags] |= Flag.Rf;
            after = 0;
            stop = this.deliverFault();
            if (stop !== GO_ON) break;
            ripLo = w[State.RipLo];
            ripHi = w[State.RipHi];
            stale = true;
            continue;
          }
          startLo = linearLo;
          first = blocks[(block + 2) | 0];
          count = blocks[(block + 3) | 0];
          cost = blocks[(block + 4) | 0];
        }
        executed = (executed + count) | 0;
        owed = (owed + cost) | 0;
        let pc = first;
        let status: number = Status.Next;
        let at = 0;
        let lo = 0;
        let hi = 0;
        let taken = 0;

        // `| 0` and `| 1` in indices: V8 then leaves out its check for overflow. The words of a register are a pair.
        run: for (;;) {
          // Below zero with FLAGS_DEAD.
          const word = code[pc];
          const op = word & 0xff;
          const a = (word >> 8) & 0x1ff;
          const b = (word >>> 17) & 0x1ff;
          if (op >= 108) {
            // Linear address of the memory operand.
            const ea = code[(pc + 5) | 0];
            const kind = ea & 3;
            const base = (ea >>> 23) & 0x3e;
            const index = (ea >> 1) & 0x3e;
            const x = w[base];
            const d = code[(pc + 6) | 0];
            lo = (x + d) | 0;
            if (kind === 2) {
              lo = (lo + (w[index] << (ea >> 8))) | 0;
              hi = 0;
            } else {
              hi = (w[base | 1] + (d >> 31) + (lo >>> 0 < x >>> 0 ? 1 : 0)) | 0;
              if (kind !== 0) {
                const y = w[index];
                const yh = w[index | 1];
                const first = lo;
                lo = (first + (y << (ea >> 8))) | 0;
                hi =
                  (hi +
                    (yh << (ea >> 8)) +
                    ((y >>> 1) >>> (31 - (ea >> 8))) +
                    (lo >>> 0 < first >>> 0 ? 1 : 0)) |
                  0;
                if (kind === 3 && op >= 110) {
                  const own = State.Segments + 8 * ((code[(pc + 11) | 0] >> 4) & 7) + SegmentWord.BaseLo;
                  const second = lo;
                  lo = (second + w[own]) | 0;
                  hi = (hi + w[own + 1] + (lo >>> 0 < second >>> 0 ? 1 : 0)) | 0;
                }
              }
            }
            if (op >= 110) {
              // What `Mmu.read` and `Mmu.write` do first, written out: a call costs as much as the work.
              const bytes = (ea >> 16) & 0x7f;
              const row = (dataRows + ((((lo >>> 6) ^ (lo >>> 15)) & 511) << 3)) | 0;
              const way = lines[(row + 4) | 0];
              const entry = lines[(row + 6) | 0];
              const stamp = (lines[recencyAt] + 1) | 0;
              if (
                lines[row] === (lo & -64) &&
                lines[(row + 2) | 0] === mmu.epoch &&
                lines[(row + 1) | 0] === hi &&
                (lo & 63) + bytes <= 64 &&
                lines[way] === lines[(row + 5) | 0] &&
                lines[entry] === lines[(row + 7) | 0] &&
                stamp < recencyLimit &&
                (op < 156 || (lines[(row + 3) | 0] & 1) !== 0)
              ) {
                lines[recencyAt] = stamp;
                lines[(way + 1) | 0] = stamp;
                lines[(entry + 1) | 0] = stamp;
                at = (lines[(row + 3) | 0] & -64) | (lo & 63);
              } else {
                at = mmu.access(lo, hi, bytes, op >= 156 ? 1 : 0);
                if (at < 0) {
                  core.operandFault((code[(pc + 11) | 0] >> 4) & 7, lo, bytes);
                  status = Status.Fault;
                  break;
                }
              }
            }
          }
          // biome-ignore lint/suspicious/noConfusingLabels: the switch has two common tails
          branch: {
            // biome-ignore lint/suspicious/noConfusingLabels: see above
            written: {
              // Case numbers are those of `HotOp`.
              switch (op) {
                case 0: // Leave
                  status = Status.Again;
                  break run;
                case 1: {
                  // Handler
                  cells[issue] += owed;
                  clock[0] += owed;
                  owed = 0;
                  w[State.FlagsZero] = zero;
                  w[State.FlagsSign] = sign;
                  w[State.FlagsParity] = parity;
                  w[State.FlagsCarry] = carry;
                  core.underway = (Math.imul(executed - count, 12) + pc - first) | 0;
                  // `status` is not assigned here: it stays a constant of the loop.
                  const answer = handlers[code[(pc + 11) | 0] >>> 24](core, pc);
                  zero = w[State.FlagsZero];
                  sign = w[State.FlagsSign];
                  parity = w[State.FlagsParity];
                  carry = w[State.FlagsCarry];
                  if (answer !== 0) {
                    status = answer;
                    break run;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 2: {
                  // Nop

                  pc = (pc + 12) | 0;
                  continue;
                }
                case 3: {
                  // MovRR32
                  w[a] = w[b];
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 4: {
                  // MovRR64
                  w[a] = w[b];
                  w[a | 1] = w[b | 1];
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 5: {
                  // MovRI32
                  w[a] = code[(pc + 7) | 0];
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 6: {
                  // MovRI64
                  w[a] = code[(pc + 7) | 0];
                  w[a | 1] = code[(pc + 8) | 0];
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 7: {
                  // MovzxByteReg
                  w[a] = w[b] & 0xff;
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 8: {
                  // MovzxWordReg
                  w[a] = w[b] & 0xffff;
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 9: {
                  // MovsxByteReg32
                  w[a] = (w[b] << 24) >> 24;
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 10: {
                  // MovsxByteReg64
                  const x = (w[b] << 24) >> 24;
                  w[a] = x;
                  w[a | 1] = x >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 11: {
                  // MovsxWordReg32
                  w[a] = (w[b] << 16) >> 16;
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 12: {
                  // MovsxWordReg64
                  const x = (w[b] << 16) >> 16;
                  w[a] = x;
                  w[a | 1] = x >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 13: {
                  // MovsxdReg
                  const x = w[b];
                  w[a] = x;
                  w[a | 1] = x >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 14: {
                  // MovRR8
                  w[a] = (w[a] & ~0xff) | (w[b] & 0xff);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 15: {
                  // MovRI8
                  w[a] = (w[a] & ~0xff) | (code[(pc + 7) | 0] & 0xff);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 16: {
                  // Cdqe
                  w[1] = w[0] >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 17: {
                  // Cdq
                  w[4] = w[0] >> 31;
                  w[5] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 18: {
                  // Cqo
                  const s = w[1] >> 31;
                  w[4] = s;
                  w[5] = s;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 19: {
                  // AddRR32
                  const x = w[a];
                  const y = w[b];
                  const r = (x + y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (x & y) | ((x | y) & ~r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 20: {
                  // OrRR32
                  const x = w[a];
                  const y = w[b];
                  const r = x | y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 21: {
                  // AndRR32
                  const x = w[a];
                  const y = w[b];
                  const r = x & y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 22: {
                  // SubRR32
                  const x = w[a];
                  const y = w[b];
                  const r = (x - y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (~x & y) | (~(x ^ y) & r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 23: {
                  // XorRR32
                  const x = w[a];
                  const y = w[b];
                  const r = x ^ y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 24: {
                  // CmpRR32
                  const x = w[a];
                  const y = w[b];
                  const r = (x - y) | 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (~x & y) | (~(x ^ y) & r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 25: {
                  // TestRR32
                  const x = w[a];
                  const y = w[b];
                  const r = x & y;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 26: {
                  // AddRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = (x + y) | 0;
                  const s = (xh + yh + (r >>> 0 < x >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 27: {
                  // OrRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = x | y;
                  const s = xh | yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 28: {
                  // AndRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = x & y;
                  const s = xh & yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 29: {
                  // SubRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 30: {
                  // XorRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = x ^ y;
                  const s = xh ^ yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 31: {
                  // CmpRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 32: {
                  // TestRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = x & y;
                  const s = xh & yh;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 33: {
                  // AddRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = (x + y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (x & y) | ((x | y) & ~r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 34: {
                  // OrRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = x | y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 35: {
                  // AndRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = x & y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 36: {
                  // SubRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = (x - y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (~x & y) | (~(x ^ y) & r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 37: {
                  // XorRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = x ^ y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 38: {
                  // CmpRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = (x - y) | 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (~x & y) | (~(x ^ y) & r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 39: {
                  // TestRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const r = x & y;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 40: {
                  // AddRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = (x + y) | 0;
                  const s = (xh + yh + (r >>> 0 < x >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 41: {
                  // OrRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = x | y;
                  const s = xh | yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 42: {
                  // AndRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = x & y;
                  const s = xh & yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 43: {
                  // SubRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 44: {
                  // XorRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = x ^ y;
                  const s = xh ^ yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 45: {
                  // CmpRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 46: {
                  // TestRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = x & y;
                  const s = xh & yh;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 47: {
                  // ClearReg
                  w[a] = 0;
                  w[a | 1] = 0;
                  zero = 0;
                  sign = 0;
                  parity = 0;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 48: {
                  // AdcRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const c = carry >>> 31;
                  const r = (x + y + c) | 0;
                  const s = (xh + yh + ((c === 0 ? r >>> 0 < x >>> 0 : r >>> 0 <= x >>> 0) ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 49: {
                  // SbbRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const c = carry >>> 31;
                  const r = (x - y - c) | 0;
                  const s = (xh - yh - ((c === 0 ? x >>> 0 < y >>> 0 : x >>> 0 <= y >>> 0) ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 50: {
                  // AdcRR32
                  const x = w[a];
                  const y = w[b];
                  const c = carry >>> 31;
                  const r = (x + y + c) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (x & y) | ((x | y) & ~r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 51: {
                  // SbbRR32
                  const x = w[a];
                  const y = w[b];
                  const c = carry >>> 31;
                  const r = (x - y - c) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (~x & y) | (~(x ^ y) & r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 52: {
                  // AdcRI32
                  const x = w[a];
                  const y = code[(pc + 7) | 0];
                  const c = carry >>> 31;
                  const r = (x + y + c) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (x & y) | ((x | y) & ~r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 53: {
                  // AdcRI64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const c = carry >>> 31;
                  const r = (x + y + c) | 0;
                  const s = (xh + yh + ((c === 0 ? r >>> 0 < x >>> 0 : r >>> 0 <= x >>> 0) ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 54: {
                  // Neg32
                  const x = 0;
                  const y = w[a];
                  const r = (x - y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (~x & y) | (~(x ^ y) & r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 55: {
                  // Neg64
                  const x = 0;
                  const xh = 0;
                  const y = w[a];
                  const yh = w[a | 1];
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 56: {
                  // Not32
                  w[a] = ~w[a];
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 57: {
                  // Not64
                  w[a] = ~w[a];
                  w[a | 1] = ~w[a | 1];
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 58: {
                  // Inc32
                  const x = w[a];
                  const y = 1;
                  const old = carry >> 31;
                  const r = (x + y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (x & y) | ((x | y) & ~r);
                  carry = (old << 31) | (((c >>> 31) ^ ((c >>> 30) & 1) ^ (old & 1)) << 30) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 59: {
                  // Inc64
                  const x = w[a];
                  const y = 1;
                  const xh = w[a | 1];
                  const yh = 0;
                  const old = carry >> 31;
                  const r = (x + y) | 0;
                  const s = (xh + yh + (r >>> 0 < x >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  const c = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                  carry = (old << 31) | (((c >>> 31) ^ ((c >>> 30) & 1) ^ (old & 1)) << 30) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 60: {
                  // Dec32
                  const x = w[a];
                  const y = 1;
                  const old = carry >> 31;
                  const r = (x - y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (~x & y) | (~(x ^ y) & r);
                  carry = (old << 31) | (((c >>> 31) ^ ((c >>> 30) & 1) ^ (old & 1)) << 30) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 61: {
                  // Dec64
                  const x = w[a];
                  const y = 1;
                  const xh = w[a | 1];
                  const yh = 0;
                  const old = carry >> 31;
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  const c = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  carry = (old << 31) | (((c >>> 31) ^ ((c >>> 30) & 1) ^ (old & 1)) << 30) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 62: {
                  // ShlRI32
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const r = x << n;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    const c = (x >>> (32 - n)) & 1;
                    carry = (c << 31) | ((c ^ (c ^ (r >>> 31))) << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 63: {
                  // ShlRI64
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const xh = w[a | 1];
                  let r = 0;
                  let s = x << (n - 32);
                  if (n < 32) {
                    r = x << n;
                    s = (xh << n) | (x >>> (32 - n));
                  }
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    const c = (n < 32 ? xh >>> (32 - n) : n === 32 ? xh : x >>> (64 - n)) & 1;
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (c << 31) | ((c ^ (c ^ (s >>> 31))) << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 64: {
                  // ShrRI32
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const r = x >>> n;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r | 0;
                    sign = r | 0;
                    parity = r | 0;
                    const c = (x >>> (n - 1)) & 1;
                    carry = (c << 31) | ((c ^ (x >>> 31)) << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 65: {
                  // ShrRI64
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const xh = w[a | 1];
                  let r = (xh >>> (n - 32)) | 0;
                  let s = 0;
                  if (n < 32) {
                    r = (x >>> n) | (xh << (32 - n));
                    s = (xh >>> n) | 0;
                  }
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    const c = (n < 32 ? x >>> (n - 1) : n === 32 ? x >>> 31 : xh >>> (n - 33)) & 1;
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (c << 31) | ((c ^ (xh >>> 31)) << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 66: {
                  // SarRI32
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const r = x >> n;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    const c = (x >> (n - 1)) & 1;
                    carry = (c << 31) | (c << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 67: {
                  // SarRI64
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const xh = w[a | 1];
                  let r = xh >> (n - 32);
                  let s = xh >> 31;
                  if (n < 32) {
                    r = (x >>> n) | (xh << (32 - n));
                    s = xh >> n;
                  }
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    const c = (n < 32 ? x >>> (n - 1) : n === 32 ? x >>> 31 : xh >> (n - 33)) & 1;
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (c << 31) | (c << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 68: {
                  // RolRI32
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const r = (x << n) | (x >>> (32 - n));
                  w[a] = r;
                  w[a | 1] = 0;
                  const c = r & 1;
                  carry = (c << 31) | ((r >>> 31) << 30) | (carry & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 69: {
                  // RolRI64
                  const n = code[(pc + 7) | 0];
                  let x = w[a];
                  let xh = w[a | 1];
                  if (n >= 32) {
                    const t = x;
                    x = xh;
                    xh = t;
                  }
                  const m = n & 31;
                  const r = m === 0 ? x : (x << m) | (xh >>> (32 - m));
                  const s = m === 0 ? xh : (xh << m) | (x >>> (32 - m));
                  w[a] = r;
                  w[a | 1] = s;
                  const c = r & 1;
                  carry = (c << 31) | ((s >>> 31) << 30) | (carry & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 70: {
                  // RorRI32
                  const n = code[(pc + 7) | 0];
                  const x = w[a];
                  const r = (x >>> n) | (x << (32 - n));
                  w[a] = r;
                  w[a | 1] = 0;
                  carry = (r & (1 << 31)) | (r & (1 << 30)) | (carry & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 71: {
                  // RorRI64
                  const n = 64 - code[(pc + 7) | 0];
                  let x = w[a];
                  let xh = w[a | 1];
                  if (n >= 32) {
                    const t = x;
                    x = xh;
                    xh = t;
                  }
                  const m = n & 31;
                  const r = m === 0 ? x : (x << m) | (xh >>> (32 - m));
                  const s = m === 0 ? xh : (xh << m) | (x >>> (32 - m));
                  w[a] = r;
                  w[a | 1] = s;
                  carry = (s & (1 << 31)) | (s & (1 << 30)) | (carry & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 72: {
                  // ShiftCl32
                  const n = w[2] & 31;
                  const x = w[a];
                  w[a | 1] = 0;
                  if (n !== 0) {
                    const kind = b;
                    let r = x << n;
                    let c = (x >>> (32 - n)) & 1;
                    let o = c ^ (r >>> 31);
                    if (kind !== 4) {
                      r = kind === 5 ? (x >>> n) | 0 : x >> n;
                      c = (x >>> (n - 1)) & 1;
                      o = kind === 5 ? x >>> 31 : 0;
                    }
                    w[a] = r;
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (c << 31) | ((c ^ o) << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 73: {
                  // ShiftCl64
                  const n = w[2] & 63;
                  if (n !== 0) {
                    const kind = b;
                    const x = w[a];
                    const xh = w[a | 1];
                    let r = 0;
                    let s = 0;
                    let c = 0;
                    let o = 0;
                    if (kind === 4) {
                      if (n < 32) {
                        r = x << n;
                        s = (xh << n) | (x >>> (32 - n));
                        c = xh >>> (32 - n);
                      } else {
                        s = x << (n - 32);
                        c = n === 32 ? xh : x >>> (64 - n);
                      }
                      o = (c & 1) ^ (s >>> 31);
                    } else {
                      if (n < 32) {
                        r = (x >>> n) | (xh << (32 - n));
                        s = xh >> n;
                        c = x >>> (n - 1);
                      } else {
                        r = xh >> (n - 32);
                        s = xh >> 31;
                        c = n === 32 ? x >>> 31 : xh >> (n - 33);
                      }
                      if (kind === 5) {
                        if (n < 32) s = (xh >>> n) | 0;
                        else {
                          r = (xh >>> (n - 32)) | 0;
                          s = 0;
                        }
                        o = xh >>> 31;
                      }
                    }
                    c &= 1;
                    w[a] = r;
                    w[a | 1] = s;
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (c << 31) | ((c ^ o) << 30);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 74: {
                  // ImulRR32
                  const x = w[a];
                  const y = w[b];
                  const r = Math.imul(x, y);
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    const h = (multiplyHigh(x, y) - (x < 0 ? y : 0) - (y < 0 ? x : 0)) | 0;
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = h === r >> 31 ? 0 : 1 << 31;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 75: {
                  // ImulRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = Math.imul(x, y);
                  const s = (multiplyHigh(x, y) + Math.imul(x, yh) + Math.imul(xh, y)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = multiplySigned64(x, xh, y, yh, product) << 31;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 76: {
                  // ImulRRI32
                  const x = w[b];
                  const y = code[(pc + 7) | 0];
                  const r = Math.imul(x, y);
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    const h = (multiplyHigh(x, y) - (x < 0 ? y : 0) - (y < 0 ? x : 0)) | 0;
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = h === r >> 31 ? 0 : 1 << 31;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 77: {
                  // ImulRRI64
                  const x = w[b];
                  const xh = w[b | 1];
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = Math.imul(x, y);
                  const s = (multiplyHigh(x, y) + Math.imul(x, yh) + Math.imul(xh, y)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = multiplySigned64(x, xh, y, yh, product) << 31;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 78: {
                  // Setcc
                  w[a] = (w[a] & ~0xff) | (conditionHolds(b, zero, sign, parity, carry) ? 1 : 0);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 79: {
                  // CmovRR32
                  if (conditionHolds(code[(pc + 7) | 0], zero, sign, parity, carry)) w[a] = w[b];
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 80: {
                  // CmovRR64
                  if (conditionHolds(code[(pc + 7) | 0], zero, sign, parity, carry)) {
                    w[a] = w[b];
                    w[a | 1] = w[b | 1];
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 81: {
                  // CmpRI8
                  const x = (w[a] << 24) >> 24;
                  const y = code[(pc + 7) | 0];
                  const d = (x - y) | 0;
                  const r = (d << 24) >> 24;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (~x & y) | (~(x ^ y) & d);
                  carry = ((c << 24) & ~8) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 82: {
                  // TestRR8
                  const x = (w[a] << 24) >> 24;
                  const y = (w[b] << 24) >> 24;
                  const r = x & y;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 83: {
                  // TestRI8
                  const x = (w[a] << 24) >> 24;
                  const y = code[(pc + 7) | 0];
                  const r = x & y;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 84: {
                  // CmpRR8
                  const x = (w[a] << 24) >> 24;
                  const y = (w[b] << 24) >> 24;
                  const d = (x - y) | 0;
                  const r = (d << 24) >> 24;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (~x & y) | (~(x ^ y) & d);
                  carry = ((c << 24) & ~8) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 85: {
                  // Bswap32
                  w[a] = swapBytes(w[a]);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 86: {
                  // Bswap64
                  const r = swapBytes(w[a | 1]);
                  w[a | 1] = swapBytes(w[a]);
                  w[a] = r;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 87: {
                  // XchgRR64
                  const x = w[a];
                  const xh = w[a | 1];
                  w[a] = w[b];
                  w[a | 1] = w[b | 1];
                  w[b] = x;
                  w[b | 1] = xh;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 88: {
                  // Jmp
                  const step = code[(pc + 7) | 0];
                  const penalty = predictor.direct(
                    (ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0,
                    (ripLo + step) | 0,
                  );
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  const old = ripLo;
                  ripLo = (old + step) | 0;
                  ripHi = (ripHi + (step >> 31) + (ripLo >>> 0 < old >>> 0 ? 1 : 0)) & hiMask;
                  continue next;
                }
                case 89: {
                  // Jo
                  taken = (carry ^ (carry << 1)) < 0 ? 1 : 0;
                  break branch;
                }
                case 90: {
                  // Jno
                  taken = (carry ^ (carry << 1)) >= 0 ? 1 : 0;
                  break branch;
                }
                case 91: {
                  // Jb
                  taken = carry < 0 ? 1 : 0;
                  break branch;
                }
                case 92: {
                  // Jae
                  taken = carry >= 0 ? 1 : 0;
                  break branch;
                }
                case 93: {
                  // Je
                  taken = zero === 0 ? 1 : 0;
                  break branch;
                }
                case 94: {
                  // Jne
                  taken = zero !== 0 ? 1 : 0;
                  break branch;
                }
                case 95: {
                  // Jbe
                  taken = carry < 0 || zero === 0 ? 1 : 0;
                  break branch;
                }
                case 96: {
                  // Ja
                  taken = carry >= 0 && zero !== 0 ? 1 : 0;
                  break branch;
                }
                case 97: {
                  // Js
                  taken = sign < 0 ? 1 : 0;
                  break branch;
                }
                case 98: {
                  // Jns
                  taken = sign >= 0 ? 1 : 0;
                  break branch;
                }
                case 99: {
                  // Jp
                  taken = oddParity(parity) === 0 ? 1 : 0;
                  break branch;
                }
                case 100: {
                  // Jnp
                  taken = oddParity(parity) !== 0 ? 1 : 0;
                  break branch;
                }
                case 101: {
                  // Jl
                  taken = (sign ^ carry ^ (carry << 1)) < 0 ? 1 : 0;
                  break branch;
                }
                case 102: {
                  // Jge
                  taken = (sign ^ carry ^ (carry << 1)) >= 0 ? 1 : 0;
                  break branch;
                }
                case 103: {
                  // Jle
                  taken = zero === 0 || (sign ^ carry ^ (carry << 1)) < 0 ? 1 : 0;
                  break branch;
                }
                case 104: {
                  // Jg
                  taken = zero !== 0 && (sign ^ carry ^ (carry << 1)) >= 0 ? 1 : 0;
                  break branch;
                }
                case 105: {
                  // JmpReg
                  const x = w[a];
                  const xh = w[a | 1] & hiMask;
                  const top = xh >> canonicalShift;
                  if (top !== 0 && top !== -1) {
                    status = core.protection();
                    break run;
                  }
                  const penalty = predictor.indirect((ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0, x);
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  ripLo = x;
                  ripHi = xh;
                  continue next;
                }
                case 106: {
                  // Hypercall
                  w[State.FlagsZero] = zero;
                  w[State.FlagsSign] = sign;
                  w[State.FlagsParity] = parity;
                  w[State.FlagsCarry] = carry;
                  status = hypercall(core, pc);
                  break run;
                }
                case 108: {
                  // Lea32
                  w[a] = lo;
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 109: {
                  // Lea64
                  w[a] = lo;
                  w[a | 1] = hi;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 110: {
                  // MovRM32
                  w[a] = view.getInt32(at, true);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 111: {
                  // MovRM64
                  w[a] = view.getInt32(at, true);
                  w[a | 1] = view.getInt32(at + 4, true);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 112: {
                  // MovzxByteMem
                  w[a] = view.getUint8(at);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 113: {
                  // MovzxWordMem
                  w[a] = view.getUint16(at, true);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 114: {
                  // MovsxByteMem32
                  w[a] = view.getInt8(at);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 115: {
                  // MovsxByteMem64
                  const x = view.getInt8(at);
                  w[a] = x;
                  w[a | 1] = x >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 116: {
                  // MovsxWordMem32
                  w[a] = view.getInt16(at, true);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 117: {
                  // MovsxWordMem64
                  const x = view.getInt16(at, true);
                  w[a] = x;
                  w[a | 1] = x >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 118: {
                  // MovsxdMem
                  const x = view.getInt32(at, true);
                  w[a] = x;
                  w[a | 1] = x >> 31;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 119: {
                  // MovRM8
                  w[a] = (w[a] & ~0xff) | view.getUint8(at);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 120: {
                  // AddRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = (x + y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (x & y) | ((x | y) & ~r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 121: {
                  // OrRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = x | y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 122: {
                  // AndRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = x & y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 123: {
                  // SubRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = (x - y) | 0;
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = (~x & y) | (~(x ^ y) & r);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 124: {
                  // XorRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = x ^ y;
                  w[a] = r;
                  w[a | 1] = 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 125: {
                  // CmpRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = (x - y) | 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (~x & y) | (~(x ^ y) & r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 126: {
                  // TestMR32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = x & y;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 127: {
                  // AddRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = (x + y) | 0;
                  const s = (xh + yh + (r >>> 0 < x >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 128: {
                  // OrRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = x | y;
                  const s = xh | yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 129: {
                  // AndRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = x & y;
                  const s = xh & yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 130: {
                  // SubRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 131: {
                  // XorRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = x ^ y;
                  const s = xh ^ yh;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = 0;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 132: {
                  // CmpRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 133: {
                  // TestMR64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = x & y;
                  const s = xh & yh;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 134: {
                  // CmpMR32
                  const x = view.getInt32(at, true);
                  const y = w[b];
                  const r = (x - y) | 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (~x & y) | (~(x ^ y) & r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 135: {
                  // CmpMR64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const y = w[b];
                  const yh = w[b | 1];
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 136: {
                  // CmpMI32
                  const x = view.getInt32(at, true);
                  const y = code[(pc + 7) | 0];
                  const r = (x - y) | 0;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = (~x & y) | (~(x ^ y) & r);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 137: {
                  // CmpMI64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = (x - y) | 0;
                  const s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 138: {
                  // CmpMI8
                  const x = view.getInt8(at);
                  const y = code[(pc + 7) | 0];
                  const d = (x - y) | 0;
                  const r = (d << 24) >> 24;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (~x & y) | (~(x ^ y) & d);
                  carry = ((c << 24) & ~8) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 139: {
                  // TestMI32
                  const r = view.getInt32(at, true) & code[(pc + 7) | 0];
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 140: {
                  // TestMI64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  const r = x & y;
                  const s = xh & yh;
                  zero = r | s;
                  sign = s;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 141: {
                  // TestMI8
                  const x = view.getInt8(at);
                  const y = code[(pc + 7) | 0];
                  const r = x & y;
                  zero = r;
                  sign = r;
                  parity = r;
                  carry = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 142: {
                  // CmpRM8
                  const x = (w[a] << 24) >> 24;
                  const y = view.getInt8(at);
                  const d = (x - y) | 0;
                  const r = (d << 24) >> 24;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (~x & y) | (~(x ^ y) & d);
                  carry = ((c << 24) & ~8) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 143: {
                  // CmpMR8
                  const x = view.getInt8(at);
                  const y = (w[b] << 24) >> 24;
                  const d = (x - y) | 0;
                  const r = (d << 24) >> 24;
                  zero = r;
                  sign = r;
                  parity = r;
                  const c = (~x & y) | (~(x ^ y) & d);
                  carry = ((c << 24) & ~8) | (c & 8);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 144: {
                  // ImulRM32
                  const x = w[a];
                  const y = view.getInt32(at, true);
                  const r = Math.imul(x, y);
                  w[a] = r;
                  w[a | 1] = 0;
                  if (word >= 0) {
                    const h = (multiplyHigh(x, y) - (x < 0 ? y : 0) - (y < 0 ? x : 0)) | 0;
                    zero = r;
                    sign = r;
                    parity = r;
                    carry = h === r >> 31 ? 0 : 1 << 31;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 145: {
                  // ImulRM64
                  const x = w[a];
                  const xh = w[a | 1];
                  const y = view.getInt32(at, true);
                  const yh = view.getInt32(at + 4, true);
                  const r = Math.imul(x, y);
                  const s = (multiplyHigh(x, y) + Math.imul(x, yh) + Math.imul(xh, y)) | 0;
                  w[a] = r;
                  w[a | 1] = s;
                  if (word >= 0) {
                    zero = r | s;
                    sign = s;
                    parity = r;
                    carry = multiplySigned64(x, xh, y, yh, product) << 31;
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 146: {
                  // Pop64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const next = (lo + 8) | 0;
                  w[8] = next;
                  w[9] = (hi + (next >>> 0 < 8 ? 1 : 0)) | 0;
                  w[a] = x;
                  w[a | 1] = xh;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 147: {
                  // Pop32
                  const x = view.getInt32(at, true);
                  w[8] = (lo + 4) | 0;
                  w[a] = x;
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 148: {
                  // Ret64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const top = xh >> canonicalShift;
                  if (top !== 0 && top !== -1) {
                    status = core.protection();
                    break run;
                  }
                  const next = (lo + 8 + code[(pc + 7) | 0]) | 0;
                  w[8] = next;
                  w[9] = (hi + (next >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
                  const penalty = predictor.return(x);
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  ripLo = x;
                  ripHi = xh;
                  continue next;
                }
                case 149: {
                  // Ret32
                  const x = view.getInt32(at, true);
                  w[8] = (lo + 4 + code[(pc + 7) | 0]) | 0;
                  const penalty = predictor.return(x);
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  ripLo = x;
                  continue next;
                }
                case 150: {
                  // Leave64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const next = (lo + 8) | 0;
                  w[8] = next;
                  w[9] = (hi + (next >>> 0 < 8 ? 1 : 0)) | 0;
                  w[10] = x;
                  w[11] = xh;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 151: {
                  // Leave32
                  w[8] = (lo + 4) | 0;
                  w[10] = view.getInt32(at, true);
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 152: {
                  // JmpMem
                  const x = view.getInt32(at, true);
                  const xh = hiMask === 0 ? 0 : view.getInt32(at + 4, true);
                  const top = xh >> canonicalShift;
                  if (top !== 0 && top !== -1) {
                    status = core.protection();
                    break run;
                  }
                  const penalty = predictor.indirect((ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0, x);
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  ripLo = x;
                  ripHi = xh;
                  continue next;
                }
                case 153: {
                  // CmovRM32
                  if (conditionHolds(code[(pc + 7) | 0], zero, sign, parity, carry))
                    w[a] = view.getInt32(at, true);
                  w[a | 1] = 0;
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 154: {
                  // CmovRM64
                  if (conditionHolds(code[(pc + 7) | 0], zero, sign, parity, carry)) {
                    w[a] = view.getInt32(at, true);
                    w[a | 1] = view.getInt32(at + 4, true);
                  }
                  pc = (pc + 12) | 0;
                  continue;
                }
                case 156: {
                  // MovMR8
                  view.setInt8(at, w[b]);
                  break written;
                }
                case 157: {
                  // MovMR16
                  view.setInt16(at, w[b], true);
                  break written;
                }
                case 158: {
                  // MovMR32
                  view.setInt32(at, w[b], true);
                  break written;
                }
                case 159: {
                  // MovMR64
                  view.setInt32(at, w[b], true);
                  view.setInt32(at + 4, w[b | 1], true);
                  break written;
                }
                case 160: {
                  // MovMI8
                  view.setInt8(at, code[(pc + 7) | 0]);
                  break written;
                }
                case 161: {
                  // MovMI16
                  view.setInt16(at, code[(pc + 7) | 0], true);
                  break written;
                }
                case 162: {
                  // MovMI32
                  view.setInt32(at, code[(pc + 7) | 0], true);
                  break written;
                }
                case 163: {
                  // MovMI64
                  const x = code[(pc + 7) | 0];
                  view.setInt32(at, x, true);
                  view.setInt32(at + 4, x >> 31, true);
                  break written;
                }
                case 164: {
                  // Push64
                  view.setInt32(at, w[a], true);
                  view.setInt32(at + 4, w[a | 1], true);
                  w[8] = lo;
                  w[9] = hi;
                  break written;
                }
                case 165: {
                  // Push32
                  view.setInt32(at, w[a], true);
                  w[8] = lo;
                  break written;
                }
                case 166: {
                  // PushImm64
                  const x = code[(pc + 7) | 0];
                  view.setInt32(at, x, true);
                  view.setInt32(at + 4, x >> 31, true);
                  w[8] = lo;
                  w[9] = hi;
                  break written;
                }
                case 167: {
                  // PushImm32
                  view.setInt32(at, code[(pc + 7) | 0], true);
                  w[8] = lo;
                  break written;
                }
                case 168: {
                  // CallRel64
                  const back = (ripLo + code[(pc + 8) | 0]) | 0;
                  const backHi = (ripHi + (back >>> 0 < ripLo >>> 0 ? 1 : 0)) | 0;
                  view.setInt32(at, back, true);
                  view.setInt32(at + 4, backHi, true);
                  if (mmu.writePending !== 0) mmu.commitWrite();
                  w[8] = lo;
                  w[9] = hi;
                  const step = code[(pc + 7) | 0];
                  const penalty = predictor.direct(
                    (ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0,
                    (ripLo + step) | 0,
                  );
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  predictor.call(back);
                  const old = ripLo;
                  ripLo = (old + step) | 0;
                  ripHi = (ripHi + (step >> 31) + (ripLo >>> 0 < old >>> 0 ? 1 : 0)) & hiMask;
                  continue next;
                }
                case 169: {
                  // CallRel32
                  const back = (ripLo + code[(pc + 8) | 0]) | 0;
                  view.setInt32(at, back, true);
                  if (mmu.writePending !== 0) mmu.commitWrite();
                  w[8] = lo;
                  const step = code[(pc + 7) | 0];
                  const penalty = predictor.direct(
                    (ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0,
                    (ripLo + step) | 0,
                  );
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  predictor.call(back);
                  const old = ripLo;
                  ripLo = (old + step) | 0;
                  ripHi = (ripHi + (step >> 31) + (ripLo >>> 0 < old >>> 0 ? 1 : 0)) & hiMask;
                  continue next;
                }
                case 170: {
                  // CallReg64
                  const x = w[a];
                  const xh = w[a | 1];
                  const back = (ripLo + code[(pc + 8) | 0]) | 0;
                  const backHi = (ripHi + (back >>> 0 < ripLo >>> 0 ? 1 : 0)) | 0;
                  const top = xh >> canonicalShift;
                  const bad = top !== 0 && top !== -1;
                  // The return address is in memory already when a bad target faults, except on AMD.
                  if (bad && core.amd) mmu.writePending = 0;
                  else {
                    view.setInt32(at, back, true);
                    view.setInt32(at + 4, backHi, true);
                    if (mmu.writePending !== 0) mmu.commitWrite();
                  }
                  if (bad) {
                    status = core.protection();
                    break run;
                  }
                  w[8] = lo;
                  w[9] = hi;
                  const penalty = predictor.indirect((ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0, x);
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  predictor.call(back);
                  ripLo = x;
                  ripHi = xh;
                  continue next;
                }
                case 171: {
                  // CallReg32
                  const x = w[a];
                  const back = (ripLo + code[(pc + 8) | 0]) | 0;
                  view.setInt32(at, back, true);
                  if (mmu.writePending !== 0) mmu.commitWrite();
                  w[8] = lo;
                  const penalty = predictor.indirect((ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0, x);
                  if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
                  predictor.call(back);
                  ripLo = x;
                  continue next;
                }
                case 172: {
                  // AluMR32
                  const x = view.getInt32(at, true);
                  const y = w[a];
                  let r = 0;
                  carry = 0;
                  switch (b) {
                    case 0:
                      r = (x + y) | 0;
                      carry = (x & y) | ((x | y) & ~r);
                      break;
                    case 1:
                      r = x | y;
                      break;
                    case 4:
                      r = x & y;
                      break;
                    case 5:
                      r = (x - y) | 0;
                      carry = (~x & y) | (~(x ^ y) & r);
                      break;
                    default:
                      r = x ^ y;
                  }
                  view.setInt32(at, r, true);
                  zero = r;
                  sign = r;
                  parity = r;
                  break written;
                }
                case 173: {
                  // AluMR64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const y = w[a];
                  const yh = w[a | 1];
                  let r = 0;
                  let s = 0;
                  carry = 0;
                  switch (b) {
                    case 0:
                      r = (x + y) | 0;
                      s = (xh + yh + (r >>> 0 < x >>> 0 ? 1 : 0)) | 0;
                      carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                      break;
                    case 1:
                      r = x | y;
                      s = xh | yh;
                      break;
                    case 4:
                      r = x & y;
                      s = xh & yh;
                      break;
                    case 5:
                      r = (x - y) | 0;
                      s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                      carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                      break;
                    default:
                      r = x ^ y;
                      s = xh ^ yh;
                  }
                  view.setInt32(at, r, true);
                  view.setInt32(at + 4, s, true);
                  zero = r | s;
                  sign = s;
                  parity = r;
                  break written;
                }
                case 174: {
                  // AluMI32
                  const x = view.getInt32(at, true);
                  const y = code[(pc + 7) | 0];
                  let r = 0;
                  carry = 0;
                  switch (b) {
                    case 0:
                      r = (x + y) | 0;
                      carry = (x & y) | ((x | y) & ~r);
                      break;
                    case 1:
                      r = x | y;
                      break;
                    case 4:
                      r = x & y;
                      break;
                    case 5:
                      r = (x - y) | 0;
                      carry = (~x & y) | (~(x ^ y) & r);
                      break;
                    default:
                      r = x ^ y;
                  }
                  view.setInt32(at, r, true);
                  zero = r;
                  sign = r;
                  parity = r;
                  break written;
                }
                case 175: {
                  // AluMI64
                  const x = view.getInt32(at, true);
                  const xh = view.getInt32(at + 4, true);
                  const y = code[(pc + 7) | 0];
                  const yh = y >> 31;
                  let r = 0;
                  let s = 0;
                  carry = 0;
                  switch (b) {
                    case 0:
                      r = (x + y) | 0;
                      s = (xh + yh + (r >>> 0 < x >>> 0 ? 1 : 0)) | 0;
                      carry = (((xh & yh) | ((xh | yh) & ~s)) & ~8) | (((x & y) | ((x | y) & ~r)) & 8);
                      break;
                    case 1:
                      r = x | y;
                      s = xh | yh;
                      break;
                    case 4:
                      r = x & y;
                      s = xh & yh;
                      break;
                    case 5:
                      r = (x - y) | 0;
                      s = (xh - yh - (x >>> 0 < y >>> 0 ? 1 : 0)) | 0;
                      carry = (((~xh & yh) | (~(xh ^ yh) & s)) & ~8) | (((~x & y) | (~(x ^ y) & r)) & 8);
                      break;
                    default:
                      r = x ^ y;
                      s = xh ^ yh;
                  }
                  view.setInt32(at, r, true);
                  view.setInt32(at + 4, s, true);
                  zero = r | s;
                  sign = s;
                  parity = r;
                  break written;
                }
                default:
                  status = Status.Unsupported;
                  break run;
              }
            }
            // A store: its bytes are in place unless it crossed a page.
            if (mmu.writePending !== 0) mmu.commitWrite();
            pc = (pc + 12) | 0;
            continue;
          }
          // A conditional jump.
          const penalty = predictor.conditional(
            (ripLo + (code[(pc + 9) | 0] & 0xffff)) | 0,
            taken,
            (ripLo + code[(pc + 7) | 0]) | 0,
          );
          if (penalty !== 0) ledger.charge(Cause.Branch, penalty);
          const step = taken !== 0 ? code[(pc + 7) | 0] : code[(pc + 8) | 0];
          const old = ripLo;
          ripLo = (old + step) | 0;
          ripHi = (ripHi + (step >> 31) + (ripLo >>> 0 < old >>> 0 ? 1 : 0)) & hiMask;
          // A block that jumps to its own start, and nothing for the loop's head to do: the words of RIP are right, too.
          if (
            ((ripLo + codeBase) | 0) === startLo &&
            (startLo & -64) === lineLo &&
            ripHi === lineHi &&
            lines[lineWay] === lineGeneration &&
            lines[lineEntry] === entryGeneration &&
            w[State.Attention] === 0 &&
            after === 0 &&
            owed <= MAX_OWED &&
            executed < most &&
            clock[0] + owed < clock[1]
          ) {
            executed = (executed + count) | 0;
            owed = (owed + cost) | 0;
            pc = first;
            continue;
          }
          continue next;
        }

        // The block ended before its last instruction, or with one that needs a closer look.
        const retires =
          status === Status.Jump || status === Status.EndBlock || status >= Status.RetireAndStop;
        const end = retires ? pc + Entry.Stride : pc;
        owed = (owed - cost + code[end + Entry.Cost]) | 0;
        cells[issue] += owed;
        clock[0] += owed;
        owed = 0;
        executed -= count - (end - first) / Entry.Stride;
        if (status === Status.Jump) {
          ripLo = w[State.RipLo];
          ripHi = w[State.RipHi];
          stale = true;
          continue;
        }
        const where = code[pc + Entry.Where];
        const wasTrapped = after;
        if ((after & AFTER_RESUME_FLAG) !== 0 && NOT_RETIRED[status] !== 0) w[State.Flags] |= Flag.Rf;
        const step =
          (where & 0xffff) +
          (status === Status.EndBlock || status === Status.RetireAndStop ? where >>> 16 : 0);
        ripLo = (w[State.RipLo] + step) | 0;
        ripHi = (w[State.RipHi] + (ripLo >>> 0 < w[State.RipLo] >>> 0 ? 1 : 0)) & hiMask;
        w[State.RipLo] = ripLo;
        w[State.RipHi] = ripHi;
        w[State.FlagsZero] = zero;
        w[State.FlagsSign] = sign;
        w[State.FlagsParity] = parity;
        w[State.FlagsCarry] = carry;
        switch (status) {
          case Status.Again:
            lineLo = 1;
            // Nothing retired at this address (or the block was dropped under way): the shadow goes on.
            if (end === first) {
              after = wasTrapped & DEBUG_TRAPS;
              again = true;
              stale = wasTrapped !== 0 || stale;
              // A repeated string traps after each iteration, and goes on when the handler returns. Zen 3 pushes no RF then.
              if (!core.amd && (after !== 0 || w[State.Attention] !== 0)) {
                w[State.Flags] |= Flag.Rf;
                stale = true;
              }
            }
            continue;
          case Status.EndBlock:
            stale = true;
            continue;
          case Status.Fault: {
            after = 0;
            const before = this.retired;
            stop = this.deliverFault();
            // One that was carried out on device memory counts for the budget too.
            executed = (executed + this.retired - before) | 0;
            this.retired = before;
            break;
          }
          case Status.SoftwareEvent:
            after = 0;
            stop = this.deliverSoftware(where >>> 16);
            if (stop >= 0) executed--;
            break;
          case Status.RetireAndStop:
            after = 0;
            if ((w[State.InterruptShadow] & Shadow.Ending) !== 0) w[State.InterruptShadow] = Shadow.None;
            // A trap wakes what HLT has just stopped.
            stop = (wasTrapped & AFTER_TRAP_FLAG) !== 0 ? this.debugTrap(Dr6.SingleStep) : core.stopReason;
            break;
          case Status.Stop:
            stop = core.stopReason;
            break;
          default:
            stop = this.unsupported("");
        }
        // An instruction that was carried out elsewhere may have changed RIP and flags whatever comes next.
        ripLo = w[State.RipLo];
        ripHi = w[State.RipHi];
        zero = w[State.FlagsZero];
        sign = w[State.FlagsSign];
        parity = w[State.FlagsParity];
        carry = w[State.FlagsCarry];
        if (stop !== GO_ON) break;
        stale = true;
      }

      w[State.RipLo] = ripLo;
      w[State.RipHi] = ripHi;
      w[State.FlagsZero] = zero;
      w[State.FlagsSign] = sign;
      w[State.FlagsParity] = parity;
      w[State.FlagsCarry] = carry;
      w[State.InterruptShadow] &= ~Shadow.Ending;
      cells[issue] += owed;
      clock[0] += owed;
      this.retired += executed;
      core.underway = 0;
      return stop;
    };
  }

  /**
   * The second page of an instruction that crosses one, fetched each time; and the place where the engine is to stop.
   * @returns the block, a new one, or -1
   */
  private checkFetch(block: number, offset: number, mode: number, lo: number, hi: number): number {
    const { blocks } = this.store;
    const { stopPoint } = this.processor;
    if (stopPoint.isAt(lo, hi)) {
      stopPoint.reached = "address";
      this.stopsHere = true;
      return -1;
    }
    if ((blocks[block + Block.Further] & Further.Crosses) === 0) return block;
    const nextLo = ((lo | 4095) + 1) | 0;
    const second = this.core.mmu.fetch(nextLo, nextLo === 0 && this.core.mode === 64 ? (hi + 1) | 0 : hi);
    if (second < 0) return -1;
    if (second === blocks[block + 6]) return block;
    this.store.dropFrame(offset & -4096);
    return this.builder.build(this.core.u8, offset, mode, lo, hi);
  }

  /** The block, its first instruction alone, or 0: what lies within so many bytes before the end of the code segment. */
  private withinLimit(block: number, offset: number, mode: number, lo: number, left: number): number {
    if (this.bytesOf(block) <= left) return block;
    const { blocks, heads } = this.store;
    const alone = mode | ModeBits.Single;
    let single = heads[(offset ^ (offset >>> 12) ^ (alone << 9)) & 0x7fff];
    while (single !== 0 && (blocks[single] !== offset || blocks[single + 1] !== alone))
      single = blocks[single + 7];
    if (single === 0) single = this.builder.build(this.core.u8, offset, alone, lo, 0);
    return single < 0 || this.bytesOf(single) <= left ? single : 0;
  }

  /** Bytes of a block's code: where the entry behind its last instruction stands. */
  private bytesOf(block: number): number {
    const { blocks, code } = this.store;
    return code[blocks[block + 2] + Entry.Stride * blocks[block + 3] + Entry.Where] & 0xffff;
  }

  /** Looks at `State.Attention`. @returns a StopReason, or GO_ON */
  private attend(): number {
    const { core, processor } = this;
    const { words } = core;
    const raised = words[State.Attention];
    if ((raised & Attention.ArenaLow) !== 0) {
      words[State.Attention] &= ~Attention.ArenaLow;
      return StopReason.ArenaLow;
    }
    if ((raised & Attention.Stop) !== 0) {
      words[State.Attention] &= ~Attention.Stop;
      return StopReason.Requested;
    }
    words[State.Attention] &= ~(Attention.ModeChanged | Attention.CodeWritten);
    if ((raised & Attention.Debug) !== 0 && (words[State.GuestMode] & GuestRun.MonitorTrapDue) === 0) {
      const stop = this.pendingDebug();
      if (stop !== GO_ON) return stop;
    }
    // The delivery of a debug trap may have made a monitor trap due.
    if ((words[State.Attention] & Attention.Interrupt) !== 0) {
      if (processor.guestMode === null) {
        const stop = this.takeInterrupt();
        if (stop !== GO_ON) return stop;
      } else if (processor.guestMode.externalEvent()) return StopReason.VmExit;
    }
    // The caller looks at the timer again.
    if ((raised & Attention.Timer) !== 0 && this.pendingStop === GO_ON) {
      words[State.Attention] &= ~Attention.Timer;
      return StopReason.Budget;
    }
    if (this.pendingStop === GO_ON) return GO_ON;
    const stop = this.pendingStop;
    this.pendingStop = GO_ON;
    return stop;
  }

  /** INIT, else an NMI or an external interrupt, if one can be taken now. What stops delivery is left pending. */
  private takeInterrupt(): number {
    const event = this.waiting.take();
    if (event === AFTER_INIT) return StopReason.Halted;
    if (event !== NO_EVENT) {
      const kind = event === Vector.Nmi ? EventKind.Nmi : EventKind.ExternalInterrupt;
      this.deliverEvent(kind, event, 0, false, 0);
    }
    return GO_ON;
  }

  /** Delivers the fault that a handler or a memory access raised, or stops; RIP is at the instruction. */
  private deliverFault(): number {
    const { core } = this;
    if (this.stopsHere) {
      this.stopsHere = false;
      core.faultIsExit = false;
      return StopReason.Requested;
    }
    if (core.faultIsExit && this.mmio.carryOut()) {
      this.retired++;
      return (core.words[State.Flags] & Flag.Tf) !== 0 ? this.debugTrap(Dr6.SingleStep) : GO_ON;
    }
    if (core.faultIsExit) return this.leaveForMemory();
    return this.deliverException(core.faultVector, core.faultCode, core.faultHasCode);
  }

  /** A second-stage fault, or memory that nothing answers. */
  private leaveForMemory(): number {
    const { guestMode } = this.processor;
    this.core.faultIsExit = false;
    if (guestMode !== null) {
      guestMode.secondStageFault();
      return StopReason.VmExit;
    }
    const { fault } = this.core.mmu;
    const what = fault.kind === FaultKind.NoRam ? "no RAM" : "second-stage fault";
    return this.unsupported(`${what} at frame 0x${fault.gfn.toString(16)}`);
  }

  /**
   * An exception with everything that may come of it: an intercept, a double fault, a shutdown.
   * @returns GO_ON once the handler's first instruction is at RIP, otherwise a StopReason
   */
  private deliverException(firstVector: number, firstCode: number, firstHasCode: boolean): number {
    const { core, processor } = this;
    const { words } = core;
    const { eventInDelivery: event } = processor;
    let vector = firstVector;
    let errorCode = firstCode;
    let hasErrorCode = firstHasCode;
    for (;;) {
      const { guestMode } = processor;
      const debug = vector === Vector.Db;
      const lo = vector === Vector.Pf ? core.faultAddressLo : debug ? core.debugStatus : 0;
      const hi = vector === Vector.Pf ? core.faultAddressHi : 0;
      // DR6 and DR7 change before the intercept on AMD (APM vol. 2, 15.12.2), only without one on Intel.
      if (debug && core.amd) this.reportDebug();
      if (guestMode?.interceptException(vector, errorCode, hasErrorCode, lo, hi)) return StopReason.VmExit;
      if (debug && !core.amd) this.reportDebug();
      if (vector === Vector.Pf) {
        words[State.Cr2Lo] = lo;
        words[State.Cr2Hi] = core.longMode ? hi : 0;
      }
      event.begin(EventKind.HardwareException, vector, errorCode, hasErrorCode, 0);
      const status = this.delivery.deliver(vector, errorCode, hasErrorCode, false);
      if (status === Status.Next) return this.delivered();
      if (status === Status.Stop) return StopReason.VmExit;
      if (core.faultIsExit) return this.leaveForMemory();
      const double = makesDoubleFault(vector, core.faultVector);
      if ((double || vector === Vector.Df) && this.secondFaultLeaves()) return StopReason.VmExit;
      if (vector === Vector.Df) return this.shutdown();
      if (double) {
        vector = Vector.Df;
        errorCode = 0;
        hasErrorCode = true;
        // On Intel a double fault that leaves is no exit during the delivery of what led to it (SDM vol. 3, 28.2.4).
        if (!core.amd) event.clear();
      } else {
        vector = core.faultVector;
        errorCode = core.faultCode;
        hasErrorCode = core.faultHasCode;
      }
    }
  }

  /** A fault during a delivery is looked up in the intercepts before the two are combined (APM vol. 2, 15.12). */
  private secondFaultLeaves(): boolean {
    const { core } = this;
    const { guestMode } = this.processor;
    if (guestMode === null) return false;
    const paging = core.faultVector === Vector.Pf;
    const lo = paging ? core.faultAddressLo : 0;
    const hi = paging ? core.faultAddressHi : 0;
    return guestMode.interceptException(core.faultVector, core.faultCode, core.faultHasCode, lo, hi);
  }

  /** VMX's monitor trap flag: the guest leaves before its next instruction. */
  private monitorTrap(): void {
    const { words } = this.core;
    if ((words[State.GuestMode] & GuestRun.MonitorTrap) === 0) return;
    words[State.GuestMode] |= GuestRun.MonitorTrapDue;
    words[State.Attention] |= Attention.Interrupt;
  }

  /** The handler's first instruction is at RIP. */
  private delivered(): number {
    const { core, processor } = this;
    this.monitorTrap();
    core.resuming = false;
    processor.eventInDelivery.clear();
    core.charge(Cause.Microcode, core.timing.interruptDelivery);
    core.words[State.InterruptShadow] = 0;
    return GO_ON;
  }

  private shutdown(): number {
    const { guestMode } = this.processor;
    this.processor.eventInDelivery.clear();
    if (guestMode?.interceptInstruction(Intercept.Shutdown, 0, 0)) return StopReason.VmExit;
    return StopReason.TripleFault;
  }

  /** INT n and its kin, RIP at the instruction: what is pushed is the address after it. */
  private deliverSoftware(length: number): number {
    const { core, processor } = this;
    const { words } = core;
    const { eventVector, eventIsInterrupt } = core;
    const lo = words[State.RipLo];
    const hi = words[State.RipHi];
    const kind = eventIsInterrupt
      ? EventKind.SoftwareInterrupt
      : eventVector === Vector.Db
        ? EventKind.PrivilegedSoftwareException
        : EventKind.SoftwareException;
    if (
      !eventIsInterrupt &&
      processor.guestMode?.interceptException(eventVector, 0, false, 0, 0, kind, length)
    )
      return StopReason.VmExit;
    processor.eventInDelivery.begin(kind, eventVector, 0, false, length);
    words[State.RipLo] = (lo + length) | 0;
    if (core.mode === 64 && words[State.RipLo] >>> 0 < lo >>> 0) words[State.RipHi] = (hi + 1) | 0;
    const software = eventVector !== Vector.Db || eventIsInterrupt;
    // What a MOV SS before INT1 held back is told by the same #DB.
    if (!software && words[State.PendingDebug] !== 0) {
      core.debugStatus = words[State.PendingDebug];
      words[State.PendingDebug] = 0;
      this.reportDebug();
    }
    const status = this.delivery.deliver(eventVector, 0, false, software);
    if (status === Status.Next) return this.delivered();
    if (!core.taskSwitch.committed) {
      words[State.RipLo] = lo;
      words[State.RipHi] = hi;
    }
    if (status === Status.Stop) return StopReason.VmExit;
    if (core.faultIsExit) return this.leaveForMemory();
    return this.deliverException(core.faultVector, core.faultCode, core.faultHasCode);
  }

  /**
   * #DB after an instruction: data and port breakpoints it matched, those held back before, and the single step. MOV SS
   * and POP SS hold what they matched back, and are not stepped over; an exit by the monitor trap flag comes before all of
   * it (SDM vol. 3, 26.5.2).
   * @param step `Dr6.SingleStep` or 0
   */
  private debugTrap(step: number): number {
    const { words, breakpoints } = this.core;
    const pending = words[State.PendingDebug] | breakpoints.hits;
    breakpoints.hits = 0;
    if ((words[State.InterruptShadow] & Shadow.MovSs) === Shadow.MovSs) {
      words[State.PendingDebug] = pending;
      if (pending !== 0) words[State.Attention] |= Attention.Debug;
      return GO_ON;
    }
    if ((words[State.GuestMode] & GuestRun.MonitorTrapDue) === 0)
      return (pending | step) === 0 ? GO_ON : this.debugException(pending | step);
    words[State.PendingDebug] = pending | step;
    if ((pending | step) !== 0) words[State.Attention] |= Attention.Debug;
    return GO_ON;
  }

  /** A debug trap whose MOV SS is over; without a breakpoint armed nobody needs to look again. */
  private pendingDebug(): number {
    const { words, breakpoints } = this.core;
    if (words[State.PendingDebug] === 0) {
      if (!breakpoints.armed) words[State.Attention] &= ~Attention.Debug;
      return GO_ON;
    }
    if ((words[State.InterruptShadow] & Shadow.MovSs) === Shadow.MovSs) return GO_ON;
    return this.debugException(words[State.PendingDebug]);
  }

  /** @param status what DR6 reports */
  private debugException(status: number): number {
    const { core } = this;
    core.words[State.PendingDebug] = 0;
    core.debugStatus = status;
    return this.deliverException(Vector.Db, 0, false);
  }

  /** DR6 shows the breakpoints of this #DB alone and keeps the rest; DR7.GD goes, so that the handler may use them. */
  private reportDebug(): void {
    const { core } = this;
    const { words } = core;
    words[State.Dr6] = (words[State.Dr6] & ~Dr6.Breakpoints) | core.debugStatus;
    words[State.Dr7] &= ~Dr7.GeneralDetect;
    core.markDirty(Dirty.Debug);
  }

  /**
   * Delivers an event between two instructions: injection by a hypervisor.
   * @param kind an `EventKind` number @param length instruction length of software events
   * @returns false when it left the guest instead
   */
  deliverEvent(
    kind: number,
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    length: number,
  ): boolean {
    const { core } = this;
    const { words } = core;
    core.syncMode();
    if (words[State.FlagsSource] === 0) setArithmeticFlags(words, words[State.Flags]);
    const software = kind === EventKind.SoftwareInterrupt || kind === EventKind.SoftwareException;
    const lo = words[State.RipLo];
    const hi = words[State.RipHi];
    if (length !== 0) {
      words[State.RipLo] = (lo + length) | 0;
      if (core.mode === 64 && words[State.RipLo] >>> 0 < lo >>> 0) words[State.RipHi] = (hi + 1) | 0;
    }
    this.processor.eventInDelivery.begin(kind, vector, errorCode, hasErrorCode, length);
    const status = this.delivery.deliver(vector, errorCode, hasErrorCode, software);
    if (status === Status.Next) return this.delivered() === GO_ON;
    if (!core.taskSwitch.committed) {
      words[State.RipLo] = lo;
      words[State.RipHi] = hi;
    }
    let stop: number;
    if (status === Status.Stop) stop = StopReason.VmExit;
    else if (core.faultIsExit) stop = this.leaveForMemory();
    else if (
      kind === EventKind.HardwareException &&
      (vector === Vector.Df || makesDoubleFault(vector, core.faultVector))
    ) {
      if (this.secondFaultLeaves()) stop = StopReason.VmExit;
      else if (vector === Vector.Df) stop = this.shutdown();
      else {
        if (!core.amd) this.processor.eventInDelivery.clear();
        stop = this.deliverException(Vector.Df, 0, pushesErrorCode(Vector.Df));
      }
    } else stop = this.deliverException(core.faultVector, core.faultCode, core.faultHasCode);
    if (stop !== GO_ON && stop !== StopReason.VmExit) this.pendingStop = stop;
    return stop === GO_ON;
  }

  /** Remembers the instruction at RIP for the report. */
  private unsupported(why: string): number {
    const { core, processor } = this;
    processor.eventInDelivery.clear();
    const { words, mmu } = core;
    const lo = words[State.RipLo];
    const hi = core.mode === 64 ? words[State.RipHi] : 0;
    const bytes: number[] = [];
    const base = core.mode === 64 ? 0 : words[State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo];
    for (let i = 0; i < 15; i++) {
      const at = (lo + base + i) | 0;
      const frame = mmu.probe(at, at >>> 0 < i ? hi + 1 : hi);
      const offset = frame < 0 ? -1 : processor.memory.frameOffset(frame);
      if (offset < 0) break;
      bytes.push(core.u8[offset + (at & 4095)]);
    }
    const text = this.disassembler.disassemble(Uint8Array.from(bytes), 0, core.mode, lo, hi);
    this.lastUnsupported = {
      rip: `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`,
      bytes: Uint8Array.from(bytes.slice(0, Math.max(1, this.disassembler.length))),
      disassembly: why === "" ? text : `${text} (${why})`,
    };
    return StopReason.Unsupported;
  }
}
