import { epyc9124, type ProcessorProfile, State, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { Doorbell, DoorbellRegister } from "../src/devices/doorbell.ts";
import { KvmDoorbellBackend } from "../src/host/kvm/kvm-doorbell.ts";
import { KvmMemFlag } from "../src/host/kvm/uapi.ts";
import { SvmRegisters } from "../src/host/svm/svm-registers.ts";
import { placeOf } from "../src/host/vcpu-registers.ts";
import type { MigrationRecord } from "../src/migration/migration-record.ts";
import type { StagePathCost } from "../src/path-cost/stage-path-cost.ts";
import type { XenSystem } from "../src/xen.ts";
import { flatGuest, HLT, NOP, print, STI } from "./flat-guest.ts";
import { KvmRig, SHINFO_HVA } from "./kvm-rig.ts";
import { xenMemory } from "./xen-memory.ts";

/** Prints once a round, for ever: jmp back over the NOP and the four bytes before it. */
const FOREVER = [...print("x"), NOP, 0xeb, 0xf9];
const DOORBELL = { doorbell: { handler: "hypervisor" } } as const;
const VENDORS: readonly (readonly [string, ProcessorProfile])[] = [
  ["AMD", epyc9124],
  ["Intel", skylakeSp],
];

function guest(profile: ProcessorProfile, body: readonly number[] = FOREVER): XenSystem {
  return flatGuest(profile, body, {}, { domain: { ...DOORBELL, memoryBytes: 4 * 2 ** 20 } });
}

/** A record of a running guest, as something that can be spoilt. */
function recorded(): MigrationRecord {
  const home = guest(epyc9124);
  home.run({ maxInstructions: 100 });
  return home.migrationRecord();
}

describe("a migration record that cannot be", () => {
  const good = recorded();
  const { events, registers, sharedInfo, apic } = good;
  const words = (state: number, value: number) => {
    const spoilt = registers.words.slice();
    spoilt[placeOf(state)] = value;
    return { registers: { ...registers, words: spoilt } };
  };
  const frame = new Uint8Array(4096);
  const named = new Uint8Array(4096);
  named[8] = 5; // an IPI of port 0 …
  named[12] = 1; // … to vCPU 1
  const wrong: readonly (readonly [string, object])[] = [
    ["version", { version: 2 }],
    ["record", { pages: undefined }],
    ["record", { events: null }],
    ["record", { params: good.params.slice(1) }],
    ["record", { registers: { ...registers, words: registers.words.slice(1) } }],
    ["record", { sharedInfo: { gfn: -1, bytes: frame.slice(1) } }],
    ["sharedInfo", { sharedInfo: { ...sharedInfo, gfn: 2 ** 40 } }],
    ["holes", { holes: [0x12345678] }],
    ["holes", { holes: [0.5] }],
    ["holes", { holes: [3, 3] }],
    ["pages", { holes: [good.pages[0].gfn] }],
    ["pages", { pages: [{ gfn: -1, bytes: frame }] }],
    ["specialPages", { specialPages: [{ gfn: 5, bytes: frame }] }],
    ["record", { grants: [frame.slice(1)] }],
    ["grants", { grants: new Array(100).fill(frame) }],
    ["events.infoGfn", { holes: [700], events: { ...events, infoGfn: [700] } }],
    ["events.infoGfn", { events: { ...events, infoGfn: [-1, -1] } }],
    ["events.infoOffset", { events: { ...events, infoOffset: [4095] } }],
    ["events.virqPort", { events: { ...events, virqPort: events.virqPort.map(() => 1 << 20) } }],
    ["events.records", { events: { ...events, records: [frame] } }],
    ["events.records", { events: { ...events, records: events.records.map(() => named) } }],
    ["apic", { apic: { ...apic, apic: { ...apic.apic, registers: [...apic.apic.registers, 0] } } }],
    ["doorbell", { doorbell: [0, 0, 0, 0, -1, 2 ** 32, 0] }],
    ["CR4", words(State.Cr4, -1)],
    ["EFER", words(State.EferLo, -1)],
    ["XCR0", words(State.XcrLo, 0)],
  ];

  it("is refused before anything has changed: the system still takes the one that can", () => {
    const away = guest(skylakeSp);
    const { domain } = away;
    const before = JSON.stringify(domain.snapshot().eventChannels);
    const first = domain.guestMemory.readU32(0x100000);
    for (const [at, [key, change]] of wrong.entries()) {
      const spoilt = { ...good, pages: good.pages, ...change } as MigrationRecord;
      expect
        .soft(() => away.receive(spoilt), `${at}: ${key}`)
        .toThrow(expect.objectContaining({ name: "MigrationError", code: "MISMATCH", key }));
      expect.soft(domain.guestMemory.readU32(0x100000)).toBe(first);
    }
    expect(JSON.stringify(domain.snapshot().eventChannels)).toBe(before);
    away.receive(good);
    expect(away.run({ maxInstructions: 100 }).reason).toBe("budget");
    expect(away.domain.console.text.length).toBeGreaterThan(10);
  });
});

describe.each(VENDORS)("what %s's vCPU cannot take along", (_, profile) => {
  it("is an event that waits for its injection, also behind a shadow of interrupts", () => {
    const system = guest(profile);
    system.run({ maxInstructions: 100 });
    expect(system.migrationRecord().registers.interruptShadow).toBe(false);
    const { registers } = system.vcpus[0].control;
    if (registers instanceof SvmRegisters) registers.unmaskNmi();
    registers.injectException(6, -1);
    expect(() => system.migrationRecord()).toThrow(expect.objectContaining({ code: "STATE", key: "event" }));
  });

  it("is sleep: what it waits for is the machine's", () => {
    const system = guest(profile, [STI, HLT]);
    system.vcpu.timers.setSingleshot(50_000_000);
    system.run({ maxCycles: 1_000_000 });
    expect(() => system.migrationRecord()).toThrow(/vCPU: sleeps in HLT/);
  });
});

describe("a doorbell", () => {
  it("takes no state that would have it read a ring for ever, or anywhere", () => {
    const doorbell = new Doorbell(xenMemory().memory);
    const states = [
      [0, 0, 0, 5, 0x100, 2 ** 32, 0],
      [0, 0, 0, 5, 0x100, -1, 0],
      [0, 0, 0, 5, 0x100, 0.5, 0],
      [0, 0, 0, 5, 2 ** 33, 0, 0],
      [0, 0, 0, 0, 0x100, 0, 0],
      [0, 0, 0, 5, -1, 0, 2],
      [0, 0, 0, 5, -1, 0],
    ];
    for (const state of states) expect.soft(() => doorbell.restore(state), `${state}`).toThrow(RangeError);
    expect(() => doorbell.migrate(states[0])).toThrow(RangeError);
    expect(doorbell.snapshot()).toEqual([0, 0, 0, 0, -1, 0, 0]);
  });

  it("has what it writes to its ring marked, where somebody keeps track", () => {
    const system = guest(epyc9124);
    system.run({ maxInstructions: 100 });
    const { domain } = system;
    domain.doorbell?.store(DoorbellRegister.Ring, 4, 0x300);
    const marked: number[] = [];
    domain.p2m.writeLog = { mark: (gfn) => marked.push(gfn) };
    domain.doorbell?.store(DoorbellRegister.Notify, 4, 0);
    expect(marked).toEqual([0x300]);
  });

  it("is given no ring in a read-only slot of KVM's, and marks what it writes in others", () => {
    const { vm, memory, cost } = new KvmRig();
    const { memslots } = vm;
    const slot = { slot: 1, guestPhysAddr: 0x5000, memorySize: 0x1000, userspaceAddr: SHINFO_HVA };
    const backend = new KvmDoorbellBackend({
      handler: "hypervisor",
      memslots,
      memory,
      cost: cost as unknown as StagePathCost,
    });
    vm.setUserMemoryRegion({ ...slot, flags: KvmMemFlag.READONLY });
    expect([memslots.translate(5) >= 0, backend.map(5)]).toEqual([true, -1]);
    vm.setUserMemoryRegion({ ...slot, memorySize: 0, flags: 0 });
    vm.setUserMemoryRegion({ ...slot, flags: KvmMemFlag.LOG_DIRTY_PAGES });
    expect(backend.map(5)).toBe(memslots.translate(5));
    backend.wrote(5);
    expect(memslots.dirtyLog(1)).toEqual(Uint8Array.of(1));
  });

  it("is nobody's with several vCPUs", () => {
    expect(() => flatGuest(epyc9124, FOREVER, {}, { domain: { ...DOORBELL, vcpus: 2 } })).toThrow(
      expect.objectContaining({ name: "XenConfigError", key: "domain.doorbell" }),
    );
  });
});

describe("a virtual machine of KVM's", () => {
  it("takes no state that it can never have had", () => {
    const { vm } = new KvmRig();
    const good = vm.snapshot();
    const [vcpu] = good.vcpus;
    const target = { sendPort: 5, type: 2, port: [6, 0], fd: undefined } as const;
    const wrong: readonly object[] = [
      { vcpus: [{ ...vcpu, runstate: { ...vcpu.runstate, lastSteal: 0.5 } }] },
      { upcallVector: 5 },
      { longMode: 1 },
      { xenVersion: -1 },
      { eventfds: { next: 2.5, fds: [] } },
      { eventfds: { next: 4, fds: [[7, [0, 0]]] } },
      { evtchnPorts: { ports: [{ ...target, sendPort: -1 }] } },
      { evtchnPorts: { ports: [{ ...target, port: [4096, 0] }] } },
      { evtchnPorts: { ports: [{ ...target, type: 9 }] } },
    ];
    for (const [at, change] of wrong.entries())
      expect.soft(() => new KvmRig().vm.restore({ ...good, ...change }), `${at}`).toThrow(RangeError);
    vm.restore({ ...good, evtchnPorts: { ports: [target] } });
    expect(vm.evtchnPorts.targetOf(5)?.port?.port).toBe(6);
  });
});
