import type { BootProtocolName } from "../boot/index.js";
import type { Console } from "../console.js";
import { DebugConsole, XenDebugPort } from "./debug-console.js";
import { DebugExit } from "./debug-exit.js";
import { FirmwareConfiguration } from "./firmware-configuration.js";
import type { PortDevice } from "./port-device.js";
import { Serial16550 } from "./serial-16550.js";
import { TestDevice } from "./test-device.js";

/** Port of the debug console that images started as firmware write to. */
const FIRMWARE_CONSOLE_PORT = 0x12;

/**
 * Devices that a guest finds besides Xen's own, by how it starts: a PVH guest none; one that starts as firmware a
 * debug console; a multiboot program what test programs expect of a machine: a serial line, an exit port, a test
 * device, and one that tells how much memory and how many processors there are.
 * @param end told the value written to the exit port
 */
export function bootDevices(
  protocol: BootProtocolName,
  console: Console,
  machine: { readonly memoryBytes: number; readonly vcpus: number },
  end: (value: number) => void,
): readonly PortDevice[] {
  const own = new XenDebugPort(console);
  switch (protocol) {
    case "pvh":
      return [own];
    case "hvm":
      return [own, new DebugConsole(console, FIRMWARE_CONSOLE_PORT)];
    case "multiboot":
      return [
        own,
        new Serial16550(console),
        new DebugExit(end),
        new FirmwareConfiguration(machine.memoryBytes, machine.vcpus),
        new TestDevice(),
      ];
  }
}
