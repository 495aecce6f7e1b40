import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import {
  fixedRegions,
  MEMMAP_FOREIGN,
  MEMMAP_GRANT_STATUS,
  MEMMAP_GRANT_TABLE,
  MEMMAP_SHARED_INFO,
} from "./boot/fixed-layout.js";
import { type BootProtocolName, SPECIAL_FRAMES, SPECIAL_GFN, XENSTORE_GFN } from "./boot/index.js";
import { CONSOLE_GFN, Console, type ConsoleSnapshot } from "./console.js";
import { bootDevices } from "./devices/boot-devices.js";
import { Doorbell } from "./devices/doorbell.js";
import type { PortDevice } from "./devices/port-device.js";
import { TEST_MEMORY_FRAMES, TEST_MEMORY_GFN } from "./devices/test-device.js";
import { DomainList } from "./domain-list.js";
import { Errno } from "./errno.js";
import {
  DOMID_SELF,
  EventChannels,
  type EventChannelsOptions,
  type EventChannelsSnapshot,
} from "./event-channel.js";
import { GrantCopier } from "./grant-copy.js";
import { GrantTable, type GrantTableSnapshot } from "./grant-table.js";
import { GuestMemory } from "./guest-memory.js";
import type { DomainLocks } from "./host/domain-locks.js";
import {
  HVM_NR_PARAMS,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
} from "./operations/descriptors.gen.js";
import type { P2m } from "./p2m.js";
import { isGrantMapping, isSpecialMapping, P2mType } from "./p2m-type.js";
import { PageConditions, type PageConditionsSnapshot } from "./page-conditions.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { SharedInfo } from "./shared-info.js";
import type { Vcpu } from "./vcpu.js";
import { Viridian, type ViridianSnapshot } from "./viridian/viridian.js";
import type { ResolvedDomainConfig } from "./xen-config.js";
import { writeDomainNodes } from "./xenstore/domain-nodes.js";
import { StoreRing, type StoreRingSnapshot } from "./xenstore/store-ring.js";
import { StoreServer } from "./xenstore/store-server.js";

/** What a domain is made with. */
export interface DomainOptions {
  readonly id: number;
  readonly config: ResolvedDomainConfig;
  /** How its image starts; decides which devices it finds. */
  readonly boot: BootProtocolName;
  readonly memory: PhysicalMemory;
  readonly p2m: P2m;
  /** Machine frame of shared_info. */
  readonly sharedInfoFrame: number;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
  /** Who sets events pending, where it is not Xen; see `EventChannelsOptions`. */
  readonly twoLevel?: EventChannelsOptions["twoLevel"];
  /** All domains of the host, to which this one is added; default it is alone. */
  readonly domains?: DomainList;
}

/** A domain as plain data, memory and vCPUs excepted. */
export interface DomainSnapshot {
  readonly params: Float64Array;
  readonly shutdownReason: number;
  readonly shutdownCode: number;
  readonly vmAssist: number;
  readonly exitCode: number;
  /** Guest frame of shared_info, or -1. */
  readonly sharedInfoGfn: number;
  /** Largest guest frame that was ever mapped. */
  readonly maxMappedGfn: number;
  /** Machine frames that the guest moved, with the guest frames where they are. */
  readonly homes: readonly (readonly [number, number])[];
  /** Machine frames that the guest gave back. */
  readonly given: readonly number[];
  readonly conditions: PageConditionsSnapshot;
  readonly eventChannels: EventChannelsSnapshot;
  readonly grantTable: GrantTableSnapshot;
  readonly console: ConsoleSnapshot;
  /** By device. */
  readonly ports: readonly (readonly number[])[];
  /** Undefined for a hardware domain. */
  readonly store: StoreRingSnapshot | undefined;
  /** Undefined without Hyper-V's interface. */
  readonly viridian: ViridianSnapshot | undefined;
}

/** Grant references that the toolstack fills in (public/grant_table.h). */
const GNTTAB_RESERVED_CONSOLE = 0;
const GNTTAB_RESERVED_XENSTORE = 1;
/** Guest frames that this model's p2m covers: 1 TiB. */
export const MAX_GFN: number = 2 ** 28 - 1;
/** SHUTDOWN_crash */
const SHUTDOWN_CRASH = 3;
/** Ports at dom0's end of the toolstack's two channels, as EVTCHNOP_status reports them. */
const DOM0_CONSOLE_PORT = 64;
const DOM0_STORE_PORT = 65;

/** A guest: its memory, parameters, event channels and consoles. */
export class Domain {
  readonly id: number;
  readonly config: ResolvedDomainConfig;
  readonly vcpus: Vcpu[] = [];
  readonly p2m: P2m;
  readonly guestMemory: GuestMemory;
  /** Log-dirty mode, paging, sharing and types of its frames. */
  readonly conditions: PageConditions;
  readonly sharedInfo: SharedInfo;
  readonly eventChannels: EventChannels;
  readonly grantTable: GrantTable;
  /** What its GNTTABOP_copy in progress holds. */
  readonly grantCopier: GrantCopier = new GrantCopier();
  readonly console: Console;
  /** All domains of the host. */
  readonly domains: DomainList;
  /** Its locks, where several processors run it. */
  locks: DomainLocks | undefined;
  /** HVM parameters by number. */
  readonly params: Float64Array = new Float64Array(HVM_NR_PARAMS);
  /** SCHEDOP_shutdown's reason, or -1 while the domain runs. */
  shutdownReason = -1;
  /** How its image started. */
  readonly boot: BootProtocolName;
  /** What the guest wrote to an exit port, or -1. */
  exitCode = -1;
  /** What answers I/O ports; no two share a port. */
  readonly ports: readonly PortDevice[];
  /** What the guest can notify, if it has it. */
  readonly doorbell: Doorbell | undefined;
  /** What SCHEDOP_shutdown_code recorded for a later shutdown, or -1. */
  shutdownCode = -1;
  /** Bits of VMASST_TYPE_*: what the guest asked for with vm_assist. */
  vmAssist = 0;
  /** Where the guest mapped frames that are not where the toolstack put them, by machine frame. */
  private readonly homes = new Map<number, number>();
  /** Machine frames that the guest gave back, which it may have again. */
  private readonly given: number[] = [];
  /** Its Hyper-V interface, if it has one. */
  readonly viridian: Viridian | undefined;
  /** Machine memory. */
  readonly memory: PhysicalMemory;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
  private readonly store: StoreRing | undefined;

  constructor(options: DomainOptions) {
    const { id, config, memory, p2m, allocateFrame } = options;
    this.allocateFrame = allocateFrame;
    this.id = id;
    this.config = config;
    this.boot = options.boot;
    this.memory = memory;
    this.p2m = p2m;
    this.domains = options.domains ?? new DomainList();
    this.domains.add(this);
    p2m.onFree = (mfn) => this.given.push(mfn);
    this.guestMemory = new GuestMemory(memory, p2m);
    this.viridian =
      config.viridian.length === 0 ? undefined : new Viridian(config.viridian, config.paging === "hap");
    this.conditions = new PageConditions({ p2m, memory, allocateFrame });
    this.sharedInfo = new SharedInfo(options.sharedInfoFrame);
    for (let i = 0; i < SPECIAL_FRAMES; i++) p2m.setEntry(SPECIAL_GFN + i, allocateFrame());
    if (options.boot === "multiboot")
      for (let i = 0; i < TEST_MEMORY_FRAMES; i++) p2m.setEntry(TEST_MEMORY_GFN + i, allocateFrame());
    this.eventChannels = new EventChannels({
      memory,
      domainId: id,
      vcpus: config.vcpus,
      sharedInfoFrame: this.sharedInfo.frame,
      allocateFrame,
      ports: config.maxEventChannels + 1,
      hardwareDomain: config.hardwareDomain,
      twoLevel: options.twoLevel,
      remote: (other) => this.domains.find(other)?.eventChannels,
    });
    this.console = new Console(this.guestMemory);
    this.grantTable = new GrantTable({ memory, allocateFrame });
    this.placeFixedRegions();
    this.doorbell = config.doorbell === undefined ? undefined : new Doorbell(memory);
    const devices = bootDevices(
      options.boot,
      this.console,
      { memoryBytes: config.memoryBytes, vcpus: config.vcpus },
      (value) => {
        this.exitCode = value;
      },
    );
    this.ports = this.doorbell === undefined ? devices : [...devices, this.doorbell];
    if (config.hardwareDomain) return; // Xen's own console, no toolstack
    this.params[HVM_PARAM_CONSOLE_PFN] = CONSOLE_GFN;
    this.params[HVM_PARAM_CONSOLE_EVTCHN] = this.eventChannels.connectBackend(DOM0_CONSOLE_PORT, () =>
      this.console.drain(),
    );
    this.params[HVM_PARAM_STORE_PFN] = XENSTORE_GFN;
    const store = new StoreServer(id, this.domains.xenstore);
    const ring = new StoreRing(this.guestMemory, XENSTORE_GFN, store);
    this.store = ring;
    const storePort = this.eventChannels.connectBackend(DOM0_STORE_PORT, () => {
      if (ring.serve()) this.eventChannels.raise(storePort);
    });
    ring.onOutput = () => this.eventChannels.raise(storePort);
    this.params[HVM_PARAM_STORE_EVTCHN] = storePort;
    this.grantTable.grantToToolstack(GNTTAB_RESERVED_CONSOLE, CONSOLE_GFN);
    this.grantTable.grantToToolstack(GNTTAB_RESERVED_XENSTORE, XENSTORE_GFN);
    writeDomainNodes(store.tree, {
      id,
      memoryBytes: config.memoryBytes,
      vcpus: config.vcpus,
      consoleGfn: CONSOLE_GFN,
      consolePort: this.params[HVM_PARAM_CONSOLE_EVTCHN],
      storeGfn: XENSTORE_GFN,
      storePort,
    });
  }

  /** The fixed memory layout, as the toolstack maps it: status frames with version 2. @param only one type's region */
  placeFixedRegions(only?: number): void {
    const { memoryBytes, fixedLayoutGrantFrames: frames } = this.config;
    if (frames === undefined) return;
    const { p2m, homes, grantTable, sharedInfo } = this;
    const place = (mfn: number, gfn: number) => {
      if (mfn < 0 || homes.has(mfn)) return;
      p2m.setEntry(gfn, mfn);
      homes.set(mfn, gfn);
      if (mfn === sharedInfo.frame) sharedInfo.gfn = gfn;
    };
    for (const { address, size, type } of fixedRegions(memoryBytes, frames)) {
      if (only !== undefined && only !== type) continue;
      const gfn = address / FRAME_BYTES;
      if (type === MEMMAP_SHARED_INFO) place(sharedInfo.frame, gfn);
      for (let i = 0; i < size / FRAME_BYTES && type !== MEMMAP_FOREIGN; i++) {
        if (type === MEMMAP_GRANT_TABLE) place(grantTable.sharedFrame(i), gfn + i);
        if (type === MEMMAP_GRANT_STATUS && grantTable.version === 2)
          place(grantTable.statusFrame(i), gfn + i);
      }
    }
  }

  /** XENMAPSPACE_shared_info: the guest sees shared_info at one frame. @returns 0, -ENXIO or -EPERM */
  mapSharedInfo(gfn: number): number {
    const error = this.mapFrame(this.sharedInfo.frame, gfn);
    if (error === 0) this.sharedInfo.gfn = gfn;
    return error;
  }

  /**
   * The guest sees a frame of Xen's at one guest frame; a superpage around it is shattered. RAM that was there is given
   * back. An earlier place becomes a hole.
   * @returns 0, or -ENXIO or -EPERM where there is a mapping that cannot be replaced
   */
  mapFrame(mfn: number, gfn: number): number {
    const { p2m, homes } = this;
    const before = this.frameHome(mfn);
    const error = p2m.changeError(gfn, before) || this.clearPlace(gfn, mfn);
    if (error !== 0) return error;
    if (before >= 0 && before !== gfn) p2m.removeEntry(before, true);
    this.forgetHome(gfn);
    p2m.setEntry(gfn, mfn, true);
    homes.set(mfn, gfn);
    return 0;
  }

  /** XENMAPSPACE_gmfn: RAM moves to another guest frame. @returns 0, -EACCES for anything else, -ENXIO or -EPERM */
  moveFrame(from: number, to: number): number {
    const { p2m } = this;
    const mfn = p2m.translate(from);
    const type = p2m.typeAt(from);
    if (mfn < 0 || (type !== P2mType.RamRw && type !== P2mType.RamLogdirty)) return -Errno.EACCES;
    if (from === to) return 0;
    this.homes.set(mfn, from);
    return this.mapFrame(mfn, to);
  }

  /** Makes a hole of a guest frame. @returns 0, or -ENOENT for what is one, or a grant */
  unmapFrame(gfn: number): number {
    const { p2m } = this;
    const mfn = p2m.translate(gfn);
    const type = p2m.typeAt(gfn);
    if (mfn < 0 || isGrantMapping(type)) return -Errno.ENOENT;
    const error = p2m.changeError(gfn);
    if (error !== 0) return error;
    this.forgetHome(gfn);
    p2m.removeEntry(gfn, true);
    if (type === P2mType.MapForeign) p2m.putPage(mfn);
    return 0;
  }

  /** The guest gives a frame back (`guest_remove_page`). @returns false for a hole, and for what is not its own */
  releaseFrame(gfn: number): boolean {
    const { p2m } = this;
    const mfn = p2m.translate(gfn);
    if (mfn < 0 || isSpecialMapping(p2m.typeAt(gfn)) || p2m.changeError(gfn) !== 0) return false;
    this.forgetHome(gfn);
    p2m.removeEntry(gfn, true);
    // Frames of Xen's own are not the domain's to get back.
    if (p2m.isRam(mfn)) p2m.releasePage(mfn);
    return true;
  }

  /** XENMEM_increase_reservation: a frame more that is the domain's, without a place. @returns false when it has all it may have */
  takeFrame(): boolean {
    const mfn = this.given.pop();
    if (mfn === undefined) return false;
    this.p2m.allocatePage(mfn);
    return true;
  }

  /**
   * Zeroed memory for a guest frame. RAM that was there stays the domain's without a place, as in Xen; a grant or foreign
   * frame there crashes the domain.
   * @returns false when the domain has all it may have
   */
  populateFrame(gfn: number): boolean {
    const { p2m } = this;
    if (gfn > MAX_GFN || this.given.length === 0) return false;
    if (isSpecialMapping(p2m.typeAt(gfn))) {
      this.crash();
      return false;
    }
    if (p2m.changeError(gfn) !== 0) return false;
    const mfn = this.given.pop()!;
    p2m.allocatePage(mfn);
    this.forgetHome(gfn);
    this.memory.writeBytes(mfn * FRAME_BYTES, new Uint8Array(FRAME_BYTES));
    p2m.setEntry(gfn, mfn, true);
    return true;
  }

  /**
   * `p2m_add_page` of a granted frame. RAM that was there stays the domain's without a place; another grant or foreign
   * frame there crashes the domain. A frame of the domain's own leaves its place.
   * @param ownGfn where the frame is, if it is the domain's own, or -1
   * @returns whether it is mapped
   */
  mapGrant(gfn: number, mfn: number, readonly: boolean, ownGfn: number, cost: PathCost | undefined): boolean {
    const { p2m } = this;
    if (gfn > MAX_GFN) return false;
    if (isSpecialMapping(p2m.typeAt(gfn))) {
      this.crash();
      return false;
    }
    if (p2m.changeError(gfn, ownGfn) !== 0) return false;
    const priced = cost !== undefined;
    this.forgetHome(gfn);
    if (ownGfn >= 0 && ownGfn !== gfn && p2m.typeAt(ownGfn) === P2mType.RamRw)
      p2m.removeEntry(ownGfn, priced);
    p2m.setEntry(gfn, mfn, priced, readonly ? P2mType.GrantMapRo : P2mType.GrantMapRw);
    return true;
  }

  /** Ends a {@link mapGrant}. @returns whether that frame was mapped there */
  unmapGrant(gfn: number, mfn: number, cost: PathCost | undefined): boolean {
    const { p2m } = this;
    if (!isGrantMapping(p2m.typeAt(gfn)) || p2m.translate(gfn) !== mfn) return false;
    if (p2m.changeError(gfn) !== 0) return false;
    p2m.removeEntry(gfn, cost !== undefined);
    return true;
  }

  /**
   * A frame of another domain's, with a reference of the mapping's own.
   * @param frees RAM that was there is given back; otherwise it stays the domain's without a place, and a grant or foreign
   * frame there crashes the domain (`set_typed_p2m_entry`) @returns 0, -EINVAL, -ENXIO or -EPERM
   */
  mapForeign(gfn: number, mfn: number, frees: boolean, cost: PathCost | undefined): number {
    const { p2m } = this;
    if (gfn > MAX_GFN) return -Errno.EINVAL;
    if (!frees && isSpecialMapping(p2m.typeAt(gfn))) {
      this.crash();
      return -Errno.EPERM;
    }
    const error = p2m.changeError(gfn) || (frees ? this.clearPlace(gfn, mfn) : 0);
    if (error !== 0) return error;
    this.forgetHome(gfn);
    p2m.takePage(mfn, cost);
    p2m.setEntry(gfn, mfn, cost !== undefined, P2mType.MapForeign);
    return 0;
  }

  /** `domain_crash` */
  crash(): void {
    this.shutDown(SHUTDOWN_CRASH);
  }

  /** `domain_shutdown`: with the code that was recorded first. Nothing, when it is shutting down already. */
  shutDown(reason: number): void {
    if (this.shutdownReason >= 0) return;
    if (this.shutdownCode < 0) this.shutdownCode = reason;
    this.shutdownReason = this.shutdownCode;
  }

  /** May it do to another domain what that could do itself (XSM_TARGET)? */
  mayTarget(target: Domain): boolean {
    return target === this || this.config.hardwareDomain;
  }

  /** The domain that an operation names; DOMID_SELF is this one. */
  findDomain(id: number): Domain | undefined {
    return id === DOMID_SELF || id === this.id ? this : this.domains.find(id);
  }

  /** Bytes of a machine frame, the first ones unless told. Costs nothing: the access is priced apart. */
  readFrame(mfn: number, bytes: number, offset = 0): Uint8Array {
    return this.memory.readBytes(mfn * FRAME_BYTES + offset, bytes);
  }

  /** The same in the other direction. */
  writeFrame(mfn: number, bytes: Uint8Array, offset: number): void {
    this.memory.writeBytes(mfn * FRAME_BYTES + offset, bytes);
  }

  /** `hvm_latch_shinfo_size`: shared_info gets the layout of the caller's mode, and with it the wall-clock time. */
  latchLayout(is32Bit: boolean): void {
    this.eventChannels.events.latchLayout(is32Bit);
    this.sharedInfo.writeWallclock(this.memory, is32Bit);
  }

  /** Guest frame at which the guest mapped a frame, or -1. */
  frameHome(mfn: number): number {
    return this.homes.get(mfn) ?? -1;
  }

  snapshot(): DomainSnapshot {
    return {
      params: this.params.slice(),
      shutdownReason: this.shutdownReason,
      shutdownCode: this.shutdownCode,
      vmAssist: this.vmAssist,
      exitCode: this.exitCode,
      sharedInfoGfn: this.sharedInfo.gfn,
      maxMappedGfn: this.p2m.maxMappedGfn,
      homes: [...this.homes],
      given: [...this.given],
      conditions: this.conditions.snapshot(),
      eventChannels: this.eventChannels.snapshot(),
      grantTable: this.grantTable.snapshot(),
      console: this.console.snapshot(),
      ports: this.ports.map((device) => device.snapshot?.() ?? []),
      store: this.store?.snapshot(),
      viridian: this.viridian?.snapshot(),
    };
  }

  /** Puts it back in a domain of the same configuration, whose memory is that of the snapshot already. */
  restore(snapshot: DomainSnapshot): void {
    this.params.set(snapshot.params);
    this.shutdownReason = snapshot.shutdownReason;
    this.shutdownCode = snapshot.shutdownCode;
    this.vmAssist = snapshot.vmAssist;
    this.exitCode = snapshot.exitCode;
    this.sharedInfo.gfn = snapshot.sharedInfoGfn;
    this.p2m.maxMappedGfn = snapshot.maxMappedGfn;
    this.conditions.restore(snapshot.conditions);
    this.given.splice(0, this.given.length, ...snapshot.given);
    this.homes.clear();
    for (const [mfn, gfn] of snapshot.homes) this.homes.set(mfn, gfn);
    this.eventChannels.restore(snapshot.eventChannels);
    this.grantTable.restore(snapshot.grantTable);
    this.console.restore(snapshot.console);
    this.ports.forEach((device, i) => {
      device.restore?.(snapshot.ports[i]);
    });
    if (snapshot.viridian !== undefined) this.viridian?.restore(snapshot.viridian);
    if (snapshot.store !== undefined) this.store?.restore(snapshot.store);
  }

  /** Makes room at a guest frame for another frame: RAM that was there is given back. */
  private clearPlace(gfn: number, mfn: number): number {
    const { p2m } = this;
    const type = p2m.typeAt(gfn);
    if (type === P2mType.MmioDirect) return -Errno.EPERM;
    if (isSpecialMapping(type)) return -Errno.ENXIO; // guest_remove_page: not the domain's own
    const before = p2m.translate(gfn);
    if (before >= 0 && before !== mfn && p2m.isRam(before)) p2m.releasePage(before);
    return 0;
  }

  private forgetHome(gfn: number): void {
    for (const [mfn, home] of this.homes) if (home === gfn) this.homes.delete(mfn);
    if (this.sharedInfo.gfn === gfn) this.sharedInfo.gfn = -1;
  }
}
