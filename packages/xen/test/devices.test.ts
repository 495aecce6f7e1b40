import { describe, expect, it } from "vitest";
import { Console } from "../src/console.ts";
import { bootDevices } from "../src/devices/boot-devices.ts";
import { FirmwareConfiguration } from "../src/devices/firmware-configuration.ts";
import { Serial16550 } from "../src/devices/serial-16550.ts";
import { TestDevice } from "../src/devices/test-device.ts";

const NO_MEMORY = {
  readU32: () => 0,
  writeU32: () => {},
  readBytes: () => new Uint8Array(0),
};

const MACHINE = { memoryBytes: 3 * 2 ** 30, vcpus: 2 };

describe("Serial16550", () => {
  it("sends what is written to the data register, and only that", () => {
    const console = new Console(NO_MEMORY);
    const serial = new Serial16550(console);
    const set = (register: number, value: number) => serial.write(0x3f8 + register, 1, value);
    set(3, 0x83); // divisor latch open
    set(0, 1);
    set(1, 0);
    expect([serial.read(0x3f8), serial.read(0x3f9)]).toEqual([1, 0]);
    set(3, 3);
    set(4, 3);
    expect(serial.read(0x3fd)).toBe(0x60); // ready to send, nothing received
    for (const byte of new TextEncoder().encode("ok\n")) set(0, byte);
    expect(console.text).toBe("ok\n");
  });

  it("answers the probes by which programs recognise it", () => {
    const console = new Console(NO_MEMORY);
    const serial = new Serial16550(console);
    serial.write(0x3ff, 1, 0xa5);
    expect(serial.read(0x3ff)).toBe(0xa5);
    serial.write(0x3f9, 1, 0xff);
    expect(serial.read(0x3f9)).toBe(0x0f); // upper half of IER is not there
    serial.write(0x3fa, 1, 1);
    expect(serial.read(0x3fa) & 0xc0).toBe(0xc0); // FIFOs on
    serial.write(0x3fc, 1, 0x1a); // loopback with OUT2, RTS
    expect(serial.read(0x3fe)).toBe(0x90);
    serial.write(0x3f8, 1, 0x42);
    expect([serial.read(0x3fd) & 1, serial.read(0x3f8), serial.read(0x3fd) & 1]).toEqual([1, 0x42, 0]);
    expect(console.text).toBe("");
  });
});

describe("FirmwareConfiguration", () => {
  it("tells memory and processors byte by byte, and starts over when an item is selected", () => {
    const device = new FirmwareConfiguration(MACHINE.memoryBytes, MACHINE.vcpus);
    const item = (selector: number, bytes: number) => {
      device.write(0x510, 2, selector);
      return Array.from({ length: bytes }, () => device.read(0x511));
    };
    expect(String.fromCharCode(...item(0, 4))).toBe("QEMU");
    expect(item(5, 2)).toEqual([2, 0]);
    expect(item(3, 9)).toEqual([0, 0, 0, 0xc0, 0, 0, 0, 0, 0]);
    expect(item(3, 4)).toEqual([0, 0, 0, 0xc0]);
    expect(item(0x19, 4)).toEqual([0, 0, 0, 0]);
    device.write(0x510, 1, 5); // a byte does not select
    expect(device.read(0x511)).toBe(0);
  });
});

describe("TestDevice", () => {
  it("keeps what is written to its data register, in parts too", () => {
    const device = new TestDevice();
    device.write(0xe0, 4, 0x11223344);
    device.write(0xe1, 1, 0xff);
    expect([device.read(0xe0, 4), device.read(0xe2, 2), device.read(0xe3, 1)]).toEqual([
      0x1122ff44, 0x1122, 0x11,
    ]);
    device.write(0xe4, 4, 0x1000);
    expect(device.read(0xe0, 4)).toBe(0x1122ff44);
  });
});

describe("bootDevices", () => {
  it("gives every guest Xen's port, and others by how they start, none of them on the same port", () => {
    const console = new Console(NO_MEMORY);
    let ended = -1;
    for (const protocol of ["pvh", "hvm", "multiboot"] as const) {
      const devices = bootDevices(protocol, console, MACHINE, (value) => {
        ended = value;
      });
      const ports = devices.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
      expect(ports).toContain(0xe9);
      expect(new Set(ports).size).toBe(ports.length);
      devices.find(({ first }) => first === 0xf4)?.write(0xf4, 4, 0x12345678);
    }
    expect(ended).toBe(0x12345678);
  });

  it("drops control characters on Xen's port but not on a device model's", () => {
    const console = new Console(NO_MEMORY);
    const [own, model] = bootDevices("hvm", console, MACHINE, () => {});
    for (const device of [own, model])
      for (const byte of [0x61, 0x0d, 0x0a]) device.write(device.first, 1, byte);
    expect(console.text).toBe("a\na\r\n");
  });
});
