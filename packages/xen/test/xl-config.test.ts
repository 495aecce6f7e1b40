import { epyc9124 } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { checkCreateFlags, DomainCreate } from "../src/domain-create.ts";
import { Errno } from "../src/errno.ts";
import { type DomainConfig, resolveDomainConfig, XenConfigError } from "../src/xen-config.ts";
import { parseXlConfig, xlDomainConfig } from "../src/xl/xl-config.ts";
import { XlConfigError } from "../src/xl/xl-config-error.ts";
import { END, flatGuest } from "./flat-guest.ts";

const LEAST = 'type = "pvh"\nname = "g"\nkernel = "vmlinux"\n';
const { Hvm, Hap, OosOff, PhysaddrAbi, NestedVirt } = DomainCreate;

describe("parseXlConfig", () => {
  it("reads what xl reads", () => {
    const text = `# a guest
type="pvh"; name='guest one'
kernel = "/boot/vmlinux" # its image
ramdisk = 'initrd.img'
root = "/dev/xvda"
extra = "console=hvc0"
extra += " quiet"
memory = 0x40
maxmem = 64
vcpus = 2
maxvcpus = 2
viridian = [ "all",
             '!hcall_ipi', "!no_vp_limit" ]
max_event_channels = 4095
physaddr_abi = 1
disk = [ 'phy:/dev/vg/guest,xvda,w' ]
on_crash = "destroy"
`;
    expect(parseXlConfig(text)).toEqual({
      name: "guest one",
      type: "pvh",
      kernel: "/boot/vmlinux",
      ramdisk: "initrd.img",
      cmdline: "root=/dev/xvda console=hvc0 quiet",
      memoryBytes: 64 * 2 ** 20,
      vcpus: 2,
      hap: true,
      viridian: ["base", "freq", "time_ref_count", "hcall_remote_tlb_flush", "ex_processor_masks"],
      maxEventChannels: 4095,
      abi: "physaddr",
      fixedMemoryLayout: false,
      createFlags: Hvm | Hap | OosOff | PhysaddrAbi,
      ignored: ["disk", "on_crash"],
    });
  });

  it("takes an HVM domain's firmware for its image, as tests that are their own firmware are started", () => {
    const text = 'type = "hvm"\nbuilder = "hvm"\nname = "t"\nfirmware_override = "/xtf/test-hvm64-example"\n';
    const { kernel, ignored } = parseXlConfig(text);
    expect(kernel).toBe("/xtf/test-hvm64-example");
    expect(ignored).toEqual(["builder"]);
    expect(() => parseXlConfig(text.replace('"hvm"', '"pvh"'))).toThrow(/kernel/);
  });

  it("has xl's defaults", () => {
    const config = parseXlConfig(LEAST);
    expect(config).toMatchObject({
      memoryBytes: 128 * 2 ** 20,
      vcpus: 1,
      cmdline: "",
      viridian: [],
      abi: "linear",
    });
    expect(parseXlConfig(`${LEAST}viridian=1`).viridian).toEqual(["base", "freq", "time_ref_count"]);
    expect(parseXlConfig(`${LEAST}fastabi=1`).abi).toBe("fastabi");
    expect(parseXlConfig(`${LEAST}fixed_mem_layout=1`).fixedMemoryLayout).toBe(true);
  });

  it.each([
    ['type = "pv"', 1, "type", "bad-value", /pvh, hvm/],
    ["memory = 4", 1, "type", "missing-key", /pvh or hvm/],
    ['type="pvh"\nkernel="k"', 2, "name", "missing-key", /not empty/],
    ['type="pvh"\nname="n"', 2, "kernel", "missing-key", /path/],
    [`${LEAST}memory = "64"`, 4, "memory", "wrong-type", /number/],
    [`${LEAST}memory = 0`, 4, "memory", "bad-value", /1 to 1048576/],
    [`${LEAST}maxmem = 256`, 4, "maxmem", "bad-value", /128/],
    [`${LEAST}vcpus = 33`, 4, "vcpus", "bad-value", /1 to 32/],
    [`${LEAST}hap = 2`, 4, "hap", "bad-value", /0 to 1/],
    [`${LEAST}kernal = "x"`, 4, "kernal", "unknown-key", /kernel/],
    [`${LEAST}name = "again"`, 4, "name", "duplicate-key", /line 2/],
    [`${LEAST}viridian = ["synic"]`, 4, "viridian", "bad-value", /ex_processor_masks/],
    [`${LEAST}viridian = ["freq"]`, 4, "viridian", "bad-value", /base/],
    [`${LEAST}physaddr_abi=1\nfastabi=1`, 5, "fastabi", "bad-value", /bit 7/],
    [`${LEAST}cmdline="a"\nroot="b"`, 5, "root", "bad-value", /cmdline/],
    [`${LEAST}memory 64`, 4, "memory", "syntax", /=/],
    [`${LEAST}memory = 64 65`, 4, "memory", "syntax", /end of the line/],
    [`${LEAST}disk = [ 'a' 'b' ]`, 4, "disk", "syntax", /\]/],
    [`${LEAST}disk = [ 'a',`, 4, "disk", "syntax", /\]/],
    [`${LEAST}cmdline = "open`, 4, "", "syntax", /quoted/],
    [`${LEAST}memory += "x"\nmemory += 3`, 5, "memory", "wrong-type", /strings/],
    [`${LEAST}= 3`, 4, "", "syntax", /key/],
  ] as const)("says where and what is wrong with %j", (text, line, key, code, allowed) => {
    let error: unknown;
    try {
      parseXlConfig(text, "guest.cfg");
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(XlConfigError);
    expect(error).toMatchObject({ file: "guest.cfg", line, key, code });
    expect((error as XlConfigError).allowed).toMatch(allowed);
  });

  it("makes a domain's configuration", () => {
    const image = new Uint8Array(4);
    const config = xlDomainConfig(
      parseXlConfig(`${LEAST}physaddr_abi=1\nviridian=1`),
      image,
      new Uint8Array(2),
    );
    const resolved = resolveDomainConfig(config);
    expect(resolved.abi.name).toBe("physaddr");
    expect(resolved.viridian).toContain("base");
    expect(resolved.modules).toHaveLength(1);
  });
});

describe("creation flags", () => {
  it.each([
    [Hvm | Hap, 0],
    [Hvm | Hap | PhysaddrAbi, 0],
    [PhysaddrAbi, -Errno.EINVAL],
    [Hap, -Errno.EINVAL],
    [Hvm | Hap | NestedVirt, -Errno.EINVAL],
    [Hvm | 0x200, -Errno.EINVAL],
    [0, 0],
  ])("%d: %d", (flags, result) => {
    expect(checkCreateFlags(flags)).toBe(result);
  });

  const make = (domain: Partial<DomainConfig>) => () => flatGuest(epyc9124, END, {}, { domain });

  it("create an HVM domain with physical addresses, and no other", () => {
    const createFlags = Hvm | Hap | PhysaddrAbi;
    expect(make({ abi: "physaddr", createFlags })().domain.config.abi.name).toBe("physaddr");
    let error: unknown;
    try {
      make({ abi: "physaddr", createFlags: PhysaddrAbi })();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(XenConfigError);
    expect(error).toMatchObject({ key: "domain.createFlags", errno: -Errno.EINVAL });
    expect(make({ abi: "linear", createFlags })).toThrow(/physaddr_abi/);
    expect(make({ abi: "physaddr", createFlags: Hvm | Hap })).toThrow(/physaddr_abi/);
    expect(make({ abi: "linear", createFlags: 0 })).toThrow(/PV/);
  });
});
