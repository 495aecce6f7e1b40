import type { UnaskedFigure } from "../figure.js";

const EXIT_ANATOMY = '"exit-anatomy" notes of the Composite/Errand project';
const ISCA = "Dall et al., ISCA 2016, table II";
const PRICE = "taken as a price of the profile, so asking for it would give it back";
const NO_PROFILE = "no profile of a part of that generation";
const NO_NESTED = "a hypervisor in a guest is not modelled";

/** What was published near these questions, and cannot be asked here. */
export const UNASKED: readonly UnaskedFigure[] = [
  {
    what: "any absolute time of HVMv2 or FastABI, from their authors",
    published: "none",
    source: "both cover letters and the threads after them",
    mark: "M",
    why: "there is none",
  },
  {
    what: "AT S12E1R and PAR_EL1; RMP check; TDVMCALL; one hvm_copy_to_guest_linear",
    published: "none",
    source: "searched for",
    mark: "M",
    why: "there is none",
  },
  {
    what: "round trip of a null exit, Prescott to Sandy Bridge",
    published: "3963, 1579, 1266, 1009, 761, 784 cycles",
    source: "Agesen et al., USENIX ATC 2012, table 1",
    mark: "R",
    why: NO_PROFILE,
  },
  {
    what: "raw hypercall, Nehalem to Kaby Lake",
    published: "961, 765, 760, 540, 568, 497 cycles",
    source: "Nelson et al., SOSP 2017, hypercall column; low confidence",
    mark: "R",
    why: NO_PROFILE,
  },
  {
    what: "Xen HVM null hypercall on a K8, before and after lazy VMSAVE and VMLOAD",
    published: "3,950 and 3,300 cycles",
    source: "Xen commit f64b7618e1, 2007",
    mark: "M",
    why: NO_PROFILE,
  },
  {
    what: "direct cost of an exit, Xeon X5570",
    published: "about 2,000 cycles",
    source: "SplitX, 2011",
    mark: "M",
    why: NO_PROFILE,
  },
  {
    what: "interrupt controller trap, virtual IPI, interrupt completion, VM switch; Xen and KVM",
    published: "1,734 to 10,534; 1,556 to 5,230 cycles",
    source: ISCA,
    mark: "R",
    why: "the experiments measure one vCPU that makes calls; another generation, besides",
  },
  {
    what: "I/O out to dom0, I/O in, under Xen",
    published: "11,262 and 10,050 cycles, one way",
    source: ISCA,
    mark: "R",
    why: "the way to a device model in another domain is not measured one way here",
  },
  {
    what: "fast-path WRMSR of TSC_DEADLINE; timers and IPIs of kvm-unit-tests",
    published: "4,056; 2,495 to 5,766; 3,293 to 4,238 cycles",
    source: `${EXIT_ANATOMY}; kvm list, 2020`,
    mark: "M",
    why: "no guest here measures the delivery of a timer or an IPI in a loop",
  },
  {
    what: "host MOV to CR3, L1D flush, SPEC_CTRL, IBPB on Skylake-SP; INVLPG",
    published: "230 (+210), 2,076, 495, 1,500; 200 cycles",
    source: `${EXIT_ANATOMY}; D. Hansen, lkml 2017`,
    mark: "M",
    why: PRICE,
  },
  {
    what: "where the 3,864 cycles of a VMCALL go, in shares of functions",
    published: "16.0, 14.4, 12.8 %, …",
    source: EXIT_ANATOMY,
    mark: "M",
    why: "functions of Linux and phases of the ledger divide the path differently",
  },
  {
    what: "nested hypercalls, CPUID, port accesses; DVH, NEVE, Turtles, HyperTurtle's L2",
    published: "13,142 to 58,000 cycles",
    source: "kvm list, 2019; ASPLOS 2020; SOSP 2017; OSDI 2010; HyperTurtle, table 1",
    mark: "M",
    why: NO_NESTED,
  },
  {
    what: "VMFUNC EPTP switch",
    published: "109 to 160 cycles",
    source: "MARS; EPTI, USENIX ATC 2018; lkml 2015",
    mark: "S",
    why: "VMFUNC is not modelled",
  },
  {
    what: "IN from the kernel's timer, from QEMU; against VMMCALL",
    published: "2,339 and 6,209 cycles; 1.30",
    source: "KVM commit b7ffc44d5b2e; TUM-DSE/CVM_eval",
    mark: "M",
    why: "KVM's own timer chip is not modelled; the guests here write to ports",
  },
  {
    what: "RDMSR and IN of an encrypted guest; #VC answered in the guest",
    published: "3,573 and 3,885 ns; 646 ns",
    source: "TUM-DSE/CVM_eval",
    mark: "M",
    why: "the guests' #VC handler here answers CPUID and VMMCALL through the GHCB, and nothing by itself",
  },
  {
    what: "hypercalls under KVM on Arm: X-Gene, Seattle, Altra, M5",
    published: "6,500; 6,413 and 752 cycles; 306 and 700 ns",
    source: "ISCA 2016; USENIX ATC 2017; kvmarm list, October 2024",
    mark: "M",
    why: "KVM on Arm is not modelled",
  },
  {
    what: "share of time in page walks of whole programs, and walks' references on average",
    published: "0.139 to 0.963; 4.8",
    source: "SagePTE artifact; agile paging, ISCA 2016",
    mark: "S",
    why: "those programs and their inputs do not run here",
  },
  {
    what: "canneal, btree, xsbench in a guest, to native",
    published: "1.59, 1.45, 1.40; with 2 MiB pages 1.18, 1.03",
    source: "vMitosis artifact, Cascade Lake",
    mark: "M",
    why: "those programs do not run here; gups, which is random accesses, stands with the pointer chase",
  },
  {
    what: "page-table isolation, CR-role resets, demand faults, context switches",
    published: "many",
    source: "kvm list; Xen commits",
    mark: "M",
    why: "paths that the experiments do not go",
  },
];
