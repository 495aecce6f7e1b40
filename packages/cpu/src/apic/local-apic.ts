import { ApicBase, ApicError, ApicRegister, DeliveryMode, LvtField, TimerMode } from "./apic-register.js";
import { ApicTimer, type ApicTimerSnapshot, type TimerClock } from "./apic-timer.js";
import { routeCommand } from "./route-command.js";
import { VectorSet } from "./vector-set.js";

/** The processor of a local APIC, as it sees it. */
export interface LocalApicHost extends TimerClock {
  /** A vector may have become deliverable: {@link LocalApic.pending} tells. */
  interruptMayBeDue(): void;
  /** {@link LocalApic.due} may have changed. */
  timerChanged(): void;
  /** TPR bits 7:4 changed: CR8. */
  taskPriorityChanged(priority: number): void;
  /** NMI, INIT, or SIPI with its vector, by {@link DeliveryMode}. */
  signal(mode: number, vector: number): void;
}

/** Where interrupt commands go: the APICs of one machine. */
export interface ApicBus {
  /** @param lo ICR low word @param destination xAPIC 8 bits or x2APIC 32 bits, unsigned */
  send(source: LocalApic, lo: number, destination: number): void;
}

/** What a local APIC is made with. */
export interface LocalApicOptions {
  /** Initial APIC ID. */
  readonly id: number;
  /** The bootstrap processor's. */
  readonly bootstrap: boolean;
  readonly physicalAddressBits: number;
  /** x2APIC mode can be entered. */
  readonly x2apic: boolean;
  /** The timer has TSC-deadline mode. */
  readonly tscDeadline: boolean;
  /** Ledger ticks of one timer count at divisor 1. */
  readonly ticksPerCount: number;
  /** Ledger ticks that a period of the timer takes at least; default 0. */
  readonly minimumPeriod?: number;
}

/** A local APIC as plain data. */
export interface LocalApicSnapshot {
  readonly registers: readonly number[];
  readonly base: readonly [number, number];
  readonly errors: number;
  readonly timer: ApicTimerSnapshot;
}

const REGISTERS = 64;
/** Integrated, six LVT entries; what Xen's virtual one shows too. */
const VERSION = 0x50014;
const X2APIC_FIRST = 0x800;
const SOFTWARE_ENABLED = 0x100;
const SPURIOUS_WRITABLE = 0x1ff;
const FLAT = 0xf;
const FIRST_VECTOR = 16;
const DIVIDE_WRITABLE = 0xb;
const WORD = 0x100000000;
/** LVT entries in the order of the page with the bits that software may set; the timer's TSC-deadline bit comes on top. */
const LVT_WRITABLE = [0x300ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff] as const;
const LVT_DELIVERY_STATUS = 0x1000;
/** Bits that WRMSR to the ICR may set: what is left is reserved (SDM vol. 3, figure 11-28). */
const ICR_WRITABLE = 0xccfff;

const index = (offset: number): number => offset >>> 4;
const LVT_FIRST = index(ApicRegister.LvtTimer);

/**
 * The local APIC of one logical processor (SDM vol. 3, chapter 11; APM vol. 2, chapter 16): the xAPIC page, the x2APIC
 * MSRs over the same registers, interrupt acceptance by priority, and the timer. Time is the simulated clock's alone.
 *
 * The owner asks {@link pending} when it could take an interrupt, takes it with {@link acknowledge}, and calls
 * {@link advance} once the clock has reached {@link due}. The xAPIC's registers live in one array, a word for each 16
 * bytes of the page.
 */
export class LocalApic {
  /** Where interrupt commands go; without one only self IPIs arrive. */
  bus: ApicBus | null = null;
  /** Told about the EOI of a level-triggered vector: I/O APICs listen. */
  onLevelEoi: ((vector: number) => void) | undefined;
  private readonly host: LocalApicHost;
  private readonly options: LocalApicOptions;
  private readonly registers: Int32Array = new Int32Array(REGISTERS);
  private readonly service = new VectorSet(this.registers, index(ApicRegister.InService));
  private readonly trigger = new VectorSet(this.registers, index(ApicRegister.TriggerMode));
  private readonly requests = new VectorSet(this.registers, index(ApicRegister.InterruptRequest));
  private readonly timer: ApicTimer;
  private baseLo: number;
  private baseHi = 0;
  /** Errors since the ESR was last written. */
  private errors = 0;

  constructor(host: LocalApicHost, options: LocalApicOptions) {
    this.host = host;
    this.options = options;
    this.timer = new ApicTimer(host, options.ticksPerCount, options.minimumPeriod);
    this.baseLo = ApicBase.Default | ApicBase.Enabled | (options.bootstrap ? ApicBase.Bootstrap : 0);
    this.reset();
  }

  /** Registers as after INIT, which leaves IA32_APIC_BASE and the ID alone (SDM vol. 3, 11.4.7.3). */
  reset(): void {
    const { registers } = this;
    registers.fill(0);
    registers[index(ApicRegister.Version)] = VERSION;
    registers[index(ApicRegister.DestinationFormat)] = -1;
    registers[index(ApicRegister.SpuriousVector)] = 0xff;
    for (let i = 0; i < LVT_WRITABLE.length; i++) registers[LVT_FIRST + i] = LvtField.Masked;
    this.errors = 0;
    this.timer.stop();
    this.timer.setPeriodic(false);
    this.timer.divideBy(this.divisor);
    this.setIdentity();
    this.host.taskPriorityChanged(0);
    this.host.timerChanged();
  }

  get id(): number {
    return this.options.id;
  }

  /** Low and high word of IA32_APIC_BASE. */
  get base(): readonly [number, number] {
    return [this.baseLo, this.baseHi];
  }

  /** IA32_APIC_BASE.EN. */
  get enabled(): boolean {
    return (this.baseLo & ApicBase.Enabled) !== 0;
  }

  get isX2apic(): boolean {
    return (this.baseLo & ApicBase.Extended) !== 0;
  }

  /** Frame of the xAPIC page, or -1 when there is none: disabled, or in x2APIC mode. */
  get pageFrame(): number {
    if ((this.baseLo & (ApicBase.Enabled | ApicBase.Extended)) !== ApicBase.Enabled) return -1;
    return (this.baseLo >>> 12) + (this.baseHi >>> 0) * 0x100000;
  }

  /** Spurious-vector register bit 8. */
  get softwareEnabled(): boolean {
    return this.enabled && (this.registers[index(ApicRegister.SpuriousVector)] & SOFTWARE_ENABLED) !== 0;
  }

  /** Ledger ticks of the next timer event; infinity when none is to come. */
  get due(): number {
    return this.timer.due;
  }

  /** Whether an expiry of the timer would be taken at the present priority; if not, none wakes a processor that waits. */
  get timerCanInterrupt(): boolean {
    const lvt = this.registers[LVT_FIRST];
    const vector = lvt & LvtField.Vector;
    if ((lvt & LvtField.Masked) !== 0 || vector < FIRST_VECTOR || !this.softwareEnabled) return false;
    return vector >> 4 > this.processorPriority >> 4;
  }

  get taskPriority(): number {
    return this.registers[index(ApicRegister.TaskPriority)];
  }

  /** @param value 0 to 255; MOV to CR8 gives CR8 * 16 */
  set taskPriority(value: number) {
    this.registers[index(ApicRegister.TaskPriority)] = value & 0xff;
    this.host.interruptMayBeDue();
  }

  /** PPR: the higher class of TPR and the vector in service (SDM vol. 3, 11.8.3.1). */
  get processorPriority(): number {
    const { taskPriority } = this;
    const served = this.service.highest;
    return taskPriority >> 4 >= served >> 4 ? taskPriority : served & 0xf0;
  }

  /** The vector that would be next if the task priority were 0, or -1. */
  get waiting(): number {
    const vector = this.requests.highest;
    if (vector < 0 || !this.softwareEnabled) return -1;
    return vector >> 4 > this.service.highest >> 4 ? vector : -1;
  }

  /** The vector that the processor would get now, or -1. */
  get pending(): number {
    const vector = this.requests.highest;
    if (vector < 0 || !this.softwareEnabled) return -1;
    return vector >> 4 > this.processorPriority >> 4 ? vector : -1;
  }

  /** INTA: the pending vector goes into service. @returns it, or -1 when none is pending */
  acknowledge(): number {
    const vector = this.pending;
    if (vector < 0) return -1;
    this.requests.clear(vector);
    this.service.set(vector);
    return vector;
  }

  /** An interrupt message has arrived. Fixed ones below 16 and those for a disabled APIC are refused. */
  accept(mode: number, vector: number, level: boolean): void {
    if (!this.enabled) return;
    if (mode === DeliveryMode.Fixed || mode === DeliveryMode.LowestPriority) {
      if (vector < FIRST_VECTOR) {
        this.raiseError(ApicError.ReceiveIllegalVector);
        return;
      }
      if (!this.softwareEnabled) return;
      this.requests.set(vector);
      if (level) this.trigger.set(vector);
      else this.trigger.clear(vector);
      this.host.interruptMayBeDue();
    } else this.host.signal(mode, vector);
  }

  /** Whether the timer will expire at all. */
  get timerRuns(): boolean {
    return this.timer.running;
  }

  /** Takes timer events up to the present time. */
  advance(): void {
    if (!this.timer.running || this.timer.due > this.host.now) return;
    this.timer.expire();
    this.raiseLocal(0);
    this.host.timerChanged();
  }

  /** Whether a physical or logical destination names this APIC (SDM vol. 3, 11.6.2). */
  isDestination(destination: number, logical: boolean, fromX2apic: boolean): boolean {
    if (destination === (fromX2apic ? WORD - 1 : 0xff)) return true;
    if (!logical) return destination === this.id;
    const ldr = this.registers[index(ApicRegister.LogicalDestination)];
    if (this.isX2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
    const logicalId = ldr >>> 24;
    if (this.registers[index(ApicRegister.DestinationFormat)] >>> 28 === FLAT)
      return (logicalId & destination & 0xff) !== 0;
    const cluster = (destination >> 4) & 15;
    const sameCluster = cluster === 15 || cluster === logicalId >> 4;
    return sameCluster && (logicalId & destination & 15) !== 0;
  }

  /**
   * RDMSR of IA32_APIC_BASE's neighbours: x2APIC registers (800h to 8FFh).
   * @returns the value as [low, high], or undefined for #GP(0)
   */
  readMsr(msr: number): readonly [number, number] | undefined {
    if (!this.isX2apic) return undefined;
    const offset = (msr - X2APIC_FIRST) << 4;
    if (
      !isRegister(offset) ||
      offset === ApicRegister.Eoi ||
      offset === ApicRegister.ArbitrationPriority ||
      offset === ApicRegister.RemoteRead ||
      offset === ApicRegister.DestinationFormat ||
      offset === ApicRegister.InterruptCommandHigh
    )
      return undefined;
    const lo = this.read(offset);
    return [lo, offset === ApicRegister.InterruptCommand ? this.read(ApicRegister.InterruptCommandHigh) : 0];
  }

  /** WRMSR of an x2APIC register. @returns false for #GP(0) */
  writeMsr(msr: number, lo: number, hi: number): boolean {
    if (!this.isX2apic) return false;
    const offset = (msr - X2APIC_FIRST) << 4;
    if (offset !== ApicRegister.InterruptCommand && hi !== 0) return false;
    const may = this.writableInX2apic(offset);
    const takesZero = offset === ApicRegister.Eoi || offset === ApicRegister.ErrorStatus;
    if (may === 0 && !takesZero) return false;
    if ((lo & ~may) !== 0) return false;
    if (offset === ApicRegister.SelfIpi) this.selfIpi(lo & LvtField.Vector);
    else if (offset === ApicRegister.InterruptCommand) {
      this.registers[index(ApicRegister.InterruptCommandHigh)] = hi;
      this.command(lo, hi >>> 0);
    } else this.write(offset, lo);
    return true;
  }

  /** IA32_TSC_DEADLINE as cycles; 0 outside TSC-deadline mode. */
  get deadline(): number {
    return this.timer.deadlineCycles;
  }

  /** WRMSR of IA32_TSC_DEADLINE; without effect outside TSC-deadline mode (SDM vol. 3, 11.5.4.1). */
  set deadline(cycles: number) {
    if (this.timerMode !== TimerMode.TscDeadline) return;
    this.timer.arm(cycles);
    this.host.timerChanged();
  }

  /** WRMSR of IA32_APIC_BASE (SDM vol. 3, 11.12.5). @returns false for #GP(0) */
  writeBase(lo: number, hi: number): boolean {
    const { x2apic, physicalAddressBits } = this.options;
    const modes = ApicBase.Enabled | ApicBase.Extended;
    const defined = ApicBase.Bootstrap | ApicBase.Enabled | (x2apic ? ApicBase.Extended : 0);
    if ((lo & 0xfff & ~defined) !== 0 || hi >>> 0 >= 2 ** (physicalAddressBits - 32)) return false;
    const from = this.baseLo & modes;
    const to = lo & modes;
    // x2APIC is entered from xAPIC mode and left through the disabled state only.
    if (to === ApicBase.Extended) return false;
    if (to === modes && from === 0) return false;
    if (from === modes && to === ApicBase.Enabled) return false;
    this.baseLo = lo;
    this.baseHi = hi;
    if (from === to) return true;
    if (to === 0) this.reset();
    else this.setIdentity();
    return true;
  }

  /** A load from the xAPIC page. @param offset within the page @param bytes 1, 2, 4 or 8 @returns low word, zero-extended */
  load(offset: number, bytes: number): number {
    const within = offset & 15;
    // Bytes 4 to 15 of a register, and what goes beyond it, read as zero.
    const word = within < 4 && this.known(offset & -16) ? this.read(offset & -16) >>> (8 * within) : 0;
    return bytes >= 4 ? word | 0 : word & ((1 << (8 * bytes)) - 1);
  }

  /** A store to the xAPIC page; narrow ones replace a part of the register, as in Xen's model. */
  store(offset: number, bytes: number, value: number): void {
    const within = offset & 15;
    const register = offset & -16;
    if (within >= 4 || !this.known(register)) return;
    let whole = value;
    if (bytes < 4) {
      const mask = ((1 << (8 * bytes)) - 1) << (8 * within);
      whole = (this.read(register) & ~mask) | ((value << (8 * within)) & mask);
    }
    this.write(register, whole);
  }

  snapshot(): LocalApicSnapshot {
    return {
      registers: [...this.registers],
      base: [this.baseLo, this.baseHi],
      errors: this.errors,
      timer: this.timer.snapshot(),
    };
  }

  restore(snapshot: LocalApicSnapshot): void {
    this.registers.set(snapshot.registers);
    this.requests.reread();
    this.service.reread();
    [this.baseLo, this.baseHi] = snapshot.base;
    this.errors = snapshot.errors;
    this.timer.stop();
    this.timer.divideBy(this.divisor);
    this.timer.setPeriodic(this.timerMode === TimerMode.Periodic);
    this.timer.restore(snapshot.timer);
    this.host.timerChanged();
    this.host.interruptMayBeDue();
  }

  private get timerMode(): number {
    return (this.registers[LVT_FIRST] >>> LvtField.TimerModeShift) & 3;
  }

  /** Divide configuration: 2, 4 … 128, then 1 (SDM vol. 3, figure 11-10). */
  private get divisor(): number {
    const value = this.registers[index(ApicRegister.DivideConfiguration)];
    const code = (value & 3) | ((value >> 1) & 4);
    return code === 7 ? 1 : 2 << code;
  }

  private known(register: number): boolean {
    if (isRegister(register) && register !== ApicRegister.SelfIpi) return true;
    this.raiseError(ApicError.IllegalRegister);
    return false;
  }

  private read(offset: number): number {
    switch (offset) {
      case ApicRegister.ProcessorPriority:
      case ApicRegister.ArbitrationPriority:
        return this.processorPriority;
      case ApicRegister.CurrentCount:
        return this.timer.count | 0;
      default:
        return this.registers[index(offset)];
    }
  }

  private write(offset: number, value: number): void {
    const { registers, host } = this;
    switch (offset) {
      case ApicRegister.TaskPriority:
        this.taskPriority = value;
        host.taskPriorityChanged((value & 0xff) >> 4);
        break;
      case ApicRegister.Eoi:
        this.endOfInterrupt();
        break;
      case ApicRegister.LogicalDestination:
        registers[index(offset)] = value & 0xff000000;
        break;
      case ApicRegister.DestinationFormat:
        registers[index(offset)] = value | 0x0fffffff;
        break;
      case ApicRegister.SpuriousVector:
        registers[index(offset)] = value & SPURIOUS_WRITABLE;
        // Every LVT entry is masked while software has the APIC disabled.
        if ((value & SOFTWARE_ENABLED) === 0)
          for (let i = 0; i < LVT_WRITABLE.length; i++) registers[LVT_FIRST + i] |= LvtField.Masked;
        host.interruptMayBeDue();
        break;
      case ApicRegister.ErrorStatus:
        registers[index(offset)] = this.errors;
        this.errors = 0;
        break;
      case ApicRegister.InterruptCommand:
        this.command(value, registers[index(ApicRegister.InterruptCommandHigh)] >>> 24);
        break;
      case ApicRegister.InterruptCommandHigh:
        registers[index(offset)] = value & 0xff000000;
        break;
      case ApicRegister.InitialCount:
        if (this.timerMode === TimerMode.TscDeadline) break;
        registers[index(offset)] = value;
        this.timer.start(value >>> 0);
        host.timerChanged();
        break;
      case ApicRegister.DivideConfiguration:
        registers[index(offset)] = value & DIVIDE_WRITABLE;
        this.timer.divideBy(this.divisor);
        host.timerChanged();
        break;
      default:
        if (offset >= ApicRegister.LvtTimer && offset <= ApicRegister.LvtError)
          this.writeLvt(index(offset) - LVT_FIRST, value);
    }
  }

  private writeLvt(entry: number, value: number): void {
    const { registers } = this;
    const old = this.timerMode;
    let next = value & this.lvtWritable(entry);
    if (!this.softwareEnabled) next |= LvtField.Masked;
    registers[LVT_FIRST + entry] = next;
    const mode = (next >>> LvtField.ModeShift) & 7;
    const masked = (next & LvtField.Masked) !== 0;
    if (!masked && mode === DeliveryMode.Fixed && (next & LvtField.Vector) < FIRST_VECTOR)
      this.raiseError(ApicError.ReceiveIllegalVector);
    if (entry !== 0 || this.timerMode === old) return;
    // To and from TSC-deadline mode the timer is disarmed; one-shot and periodic go over into each other.
    if (this.timerMode === TimerMode.TscDeadline || old === TimerMode.TscDeadline) {
      this.timer.stop();
      registers[index(ApicRegister.InitialCount)] = 0;
    }
    this.timer.setPeriodic(this.timerMode === TimerMode.Periodic);
    this.host.timerChanged();
  }

  private lvtWritable(entry: number): number {
    return LVT_WRITABLE[entry] | (entry === 0 && this.options.tscDeadline ? 0x40000 : 0);
  }

  /** A local source fires: timer (0) or error (5). */
  private raiseLocal(entry: number): void {
    const lvt = this.registers[LVT_FIRST + entry];
    if ((lvt & LvtField.Masked) === 0) this.accept(DeliveryMode.Fixed, lvt & LvtField.Vector, false);
  }

  private raiseError(error: number): void {
    const fresh = (this.errors & error) === 0;
    this.errors |= error;
    const lvt = this.registers[index(ApicRegister.LvtError)];
    // An error entry with an illegal vector would report itself for ever.
    if (fresh && (lvt & LvtField.Vector) >= FIRST_VECTOR) this.raiseLocal(LVT_WRITABLE.length - 1);
  }

  private endOfInterrupt(): void {
    const vector = this.service.highest;
    if (vector < 0) return;
    this.service.clear(vector);
    if (this.trigger.has(vector)) this.onLevelEoi?.(vector);
    this.host.interruptMayBeDue();
  }

  private command(lo: number, destination: number): void {
    this.registers[index(ApicRegister.InterruptCommand)] = lo & ICR_WRITABLE;
    const mode = (lo >>> LvtField.ModeShift) & 7;
    const vector = lo & LvtField.Vector;
    if (mode <= DeliveryMode.LowestPriority && vector < FIRST_VECTOR) {
      this.raiseError(ApicError.SendIllegalVector);
      return;
    }
    if (this.bus !== null) this.bus.send(this, lo, destination);
    else routeCommand([this], this, lo, destination, deliver);
  }

  private selfIpi(vector: number): void {
    if (vector < FIRST_VECTOR) this.raiseError(ApicError.SendIllegalVector);
    else this.accept(DeliveryMode.Fixed, vector, false);
  }

  /** ID and logical ID as the mode shows them; x2APIC's logical ID follows from the ID (SDM vol. 3, 11.12.10.2). */
  private setIdentity(): void {
    const { registers, id } = this;
    registers[index(ApicRegister.Id)] = this.isX2apic ? id : id << 24;
    if (this.isX2apic)
      registers[index(ApicRegister.LogicalDestination)] = ((id >> 4) << 16) | (1 << (id & 15));
  }

  /** Bits that WRMSR may set; 0 where none may. */
  private writableInX2apic(offset: number): number {
    switch (offset) {
      case ApicRegister.TaskPriority:
      case ApicRegister.SelfIpi:
        return 0xff;
      case ApicRegister.SpuriousVector:
        return SPURIOUS_WRITABLE;
      case ApicRegister.InterruptCommand:
        return ICR_WRITABLE;
      case ApicRegister.InitialCount:
        return -1;
      case ApicRegister.DivideConfiguration:
        return DIVIDE_WRITABLE;
      default:
        if (offset >= ApicRegister.LvtTimer && offset <= ApicRegister.LvtError)
          return this.lvtWritable(index(offset) - LVT_FIRST) | LVT_DELIVERY_STATUS;
        return 0;
    }
  }
}

/** Registers that exist; the others are reserved. */
function isRegister(offset: number): boolean {
  if (offset === ApicRegister.Id || offset === ApicRegister.Version) return true;
  if (offset >= ApicRegister.TaskPriority && offset <= ApicRegister.ErrorStatus) return true;
  if (offset >= ApicRegister.InterruptCommand && offset <= ApicRegister.CurrentCount) return true;
  return offset === ApicRegister.DivideConfiguration || offset === ApicRegister.SelfIpi;
}

function deliver(target: LocalApic, mode: number, vector: number, level: boolean): void {
  target.accept(mode, vector, level);
}
