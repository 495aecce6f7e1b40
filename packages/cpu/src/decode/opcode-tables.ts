/**
 * Opcode maps as text, one form a line: `opcode[selector] [prefix] mnemonic operands attributes`.
 *
 * - opcode: two hex digits; `+` covers eight opcodes whose low bits name a register; `/r` wants that ModRM.reg,
 *   `:xx` that very ModRM byte. A following `m` or `r` wants a memory or a register ModRM.rm.
 * - prefix: `np`, `66`, `f3` or `f2` when a mandatory prefix selects the form, `nr` when F3 and F2 must be absent.
 * - mnemonic: `a|b|c` names the 16-, 32- and 64-bit variants of the operand size.
 * - operands: the operand codes of SDM vol. 2 appendix A (`Ev`, `Gb`, `Iz`, `Jb`, `Ob`, `Mp`, ...); `Z` is a register
 *   in the opcode byte; `-` stands for none.
 * - attributes: `lock` (may be locked), `i64`/`o64` (invalid/only valid in 64-bit mode), `d64` (64-bit operand by
 *   default), `f64` (always 64-bit), `as:key` (name under which the interpreter knows it).
 *
 * The first matching line wins.
 */
const ALU_NAMES = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"];
const SHIFT_NAMES = ["rol", "ror", "rcl", "rcr", "shl", "shr", "shl", "sar"];
/** Condition suffixes in encoding order. */
export const CONDITIONS: readonly string[] = [
  "o",
  "no",
  "b",
  "ae",
  "e",
  "ne",
  "be",
  "a",
  "s",
  "ns",
  "p",
  "np",
  "l",
  "ge",
  "le",
  "g",
];

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}

function aluRows(): string {
  let rows = "";
  ALU_NAMES.forEach((name, i) => {
    const lock = name === "cmp" ? "" : " lock";
    const at = i * 8;
    rows += `${hex(at)} ${name} Eb,Gb${lock}\n${hex(at + 1)} ${name} Ev,Gv${lock}\n`;
    rows += `${hex(at + 2)} ${name} Gb,Eb\n${hex(at + 3)} ${name} Gv,Ev\n`;
    rows += `${hex(at + 4)} ${name} AL,Ib\n${hex(at + 5)} ${name} rAX,Iz\n`;
    rows += `80/${i} ${name} Eb,Ib${lock}\n81/${i} ${name} Ev,Iz${lock}\n`;
    rows += `82/${i} ${name} Eb,Ib${lock} i64\n83/${i} ${name} Ev,Ib${lock}\n`;
  });
  return rows;
}

function shiftRows(): string {
  let rows = "";
  SHIFT_NAMES.forEach((name, i) => {
    rows += `c0/${i} ${name} Eb,Ib\nc1/${i} ${name} Ev,Ib\nd0/${i} ${name} Eb,1\nd1/${i} ${name} Ev,1\n`;
    rows += `d2/${i} ${name} Eb,CL\nd3/${i} ${name} Ev,CL\n`;
  });
  return rows;
}

function conditionRows(opcode: number, name: string, rest: string): string {
  return CONDITIONS.map((cc, i) => `${hex(opcode + i)} ${name}${cc} ${rest}\n`).join("");
}

/** Opcodes without an escape byte, the x87 ones aside. */
export const oneByteMap = (): string => `${aluRows()}${shiftRows()}
06 push ES i64 as:pushseg
07 pop ES i64 as:popseg
0e push CS i64 as:pushseg
16 push SS i64 as:pushseg
17 pop SS i64 as:popseg
1e push DS i64 as:pushseg
1f pop DS i64 as:popseg
27 daa - i64
2f das - i64
37 aaa - i64
3f aas - i64
40+ inc Zv i64
48+ dec Zv i64
50+ push Zv d64
58+ pop Zv d64
60 pusha|pushad|pushad - i64
61 popa|popad|popad - i64
62 bound Gv,Ma i64
63 arpl Ew,Gw i64
63 movsxd Gv,Ed o64
68 push Iz d64
69 imul Gv,Ev,Iz
6a push Ib d64
6b imul Gv,Ev,Ib
6c insb Yb,DX
6d insw|insd|insd Yz,DX
6e outsb DX,Xb
6f outsw|outsd|outsd DX,Xz
${conditionRows(0x70, "j", "Jb f64")}
84 test Eb,Gb
85 test Ev,Gv
86 xchg Eb,Gb lock
87 xchg Ev,Gv lock
88 mov Eb,Gb
89 mov Ev,Gv
8a mov Gb,Eb
8b mov Gv,Ev
8cm mov Ew,Sw as:movfromseg
8cr mov Ev,Sw as:movfromseg
8d lea Gv,M
8e mov Sw,Ew as:movtoseg
8f/0 pop Ev d64
90 f3 pause -
90+ xchg Zv,rAX
98 cbw|cwde|cdqe -
99 cwd|cdq|cqo -
9a call Ap i64 as:callf
9b wait -
9c pushf|pushfd|pushfq - d64
9d popf|popfd|popfq - d64
9e sahf -
9f lahf -
a0 mov AL,Ob as:movabs
a1 mov rAX,Ov as:movabs
a2 mov Ob,AL as:movabs
a3 mov Ov,rAX as:movabs
a4 movsb Yb,Xb
a5 movsw|movsd|movsq Yv,Xv
a6 cmpsb Xb,Yb
a7 cmpsw|cmpsd|cmpsq Xv,Yv
a8 test AL,Ib
a9 test rAX,Iz
aa stosb Yb,AL
ab stosw|stosd|stosq Yv,rAX
ac lodsb AL,Xb
ad lodsw|lodsd|lodsq rAX,Xv
ae scasb AL,Yb
af scasw|scasd|scasq rAX,Yv
b0+ mov Zb,Ib
b8+ mov Zv,Iv
c2 ret Iw f64
c3 ret - f64
c4 les Gv,Mp i64
c5 lds Gv,Mp i64
c6/0 mov Eb,Ib
c6:f8 xabort Ib
c7/0 mov Ev,Iz
c7:f8 xbegin Jz
c8 enter Iw,Ib d64
c9 leave - d64
ca retf Iw
cb retf -
cc int3 -
cd int Ib
ce into - i64
cf iret|iretd|iretq -
d4 aam Ib i64
d5 aad Ib i64
d6 salc - i64
d7 xlatb -
e0 loopne Jb f64
e1 loope Jb f64
e2 loop Jb f64
e3 jrcxz Jb f64
e4 in AL,Ib
e5 in eAX,Ib
e6 out Ib,AL
e7 out Ib,eAX
e8 call Jz f64
e9 jmp Jz f64
ea jmp Ap i64 as:jmpf
eb jmp Jb f64
ec in AL,DX
ed in eAX,DX
ee out DX,AL
ef out DX,eAX
f1 int1 -
f4 hlt -
f5 cmc -
f6/0 test Eb,Ib
f6/1 test Eb,Ib
f6/2 not Eb lock
f6/3 neg Eb lock
f6/4 mul Eb
f6/5 imul Eb
f6/6 div Eb
f6/7 idiv Eb
f7/0 test Ev,Iz
f7/1 test Ev,Iz
f7/2 not Ev lock
f7/3 neg Ev lock
f7/4 mul Ev
f7/5 imul Ev
f7/6 div Ev
f7/7 idiv Ev
f8 clc -
f9 stc -
fa cli -
fb sti -
fc cld -
fd std -
fe/0 inc Eb lock
fe/1 dec Eb lock
ff/0 inc Ev lock
ff/1 dec Ev lock
ff/2 call Ev f64
ff/3m call Mp as:callf
ff/4 jmp Ev f64
ff/5m jmp Mp as:jmpf
ff/6 push Ev d64
`;

/** Opcodes 0F xx. */
export const twoByteMap = (): string => `
00/0m sldt Ew
00/0r sldt Ev
00/1m str Ew
00/1r str Ev
00/2 lldt Ew
00/3 ltr Ew
00/4 verr Ew
00/5 verw Ew
01:c1 np vmcall -
01:c2 np vmlaunch -
01:c3 np vmresume -
01:c4 np vmxoff -
01:c8 np monitor -
01:c9 np mwait -
01:ca np clac -
01:cb np stac -
01:cf np encls -
01:d0 np xgetbv -
01:d1 np xsetbv -
01:d4 np vmfunc -
01:d5 np xend -
01:d6 np xtest -
01:d7 np enclu -
01:d8 vmrun -
01:d9 np vmmcall -
01:d9 f3 vmgexit -
01:d9 f2 vmgexit -
01:da vmload -
01:db vmsave -
01:dc stgi -
01:dd clgi -
01:de skinit -
01:df invlpga -
01:e8 np serialize -
01:ee np rdpkru -
01:ef np wrpkru -
01:f8 swapgs - o64
01:f9 rdtscp -
01:fa np monitorx -
01:fb np mwaitx -
01:fc clzero -
01:fe np invlpgb -
01:fe f2 rmpupdate -
01:fe f3 rmpadjust -
01:ff np tlbsync -
01:ff f2 pvalidate -
01:ff f3 psmash -
01/0m sgdt Ms
01/1m sidt Ms
01/2m lgdt Ms
01/3m lidt Ms
01/4m smsw Ew
01/4r smsw Ev
01/6 lmsw Ew
01/7m invlpg Mb
02 lar Gv,Ew
03 lsl Gv,Ew
05 syscall -
06 clts -
07 sysret -
08 invd -
09 f3 wbnoinvd -
09 wbinvd -
0b ud2 -
0d/1m prefetchw Mb
0d/2m prefetchwt1 Mb
0dm prefetch Mb as:prefetchw
0d nop Ev
0e femms -
10 np movups Vx,Wx
10 66 movupd Vx,Wx
10 f3 movss Vx,Wd
10 f2 movsd Vx,Wq
11 np movups Wx,Vx
11 66 movupd Wx,Vx
11 f3 movss Wd,Vx
11 f2 movsd Wq,Vx
12r np movhlps Vx,Ux
12 np movlps Vx,Mq
12 66 movlpd Vx,Mq
12 f3 movsldup Vx,Wx
12 f2 movddup Vx,Wq
13m np movlps Mq,Vx
13m 66 movlpd Mq,Vx
14 np unpcklps Vx,Wx
14 66 unpcklpd Vx,Wx
15 np unpckhps Vx,Wx
15 66 unpckhpd Vx,Wx
16r np movlhps Vx,Ux
16 np movhps Vx,Mq
16 66 movhpd Vx,Mq
16 f3 movshdup Vx,Wx
17m np movhps Mq,Vx
17m 66 movhpd Mq,Vx
18/0m prefetchnta Mb
18/1m prefetcht0 Mb
18/2m prefetcht1 Mb
18/3m prefetcht2 Mb
18 nop Ev
19 nop Ev
1a nop Ev
1b nop Ev
1c nop Ev
1d nop Ev
1e:fa f3 endbr64 -
1e:fb f3 endbr32 -
1e nop Ev
1f nop Ev
20 mov Rn,Cn as:movfromcr
21 mov Rn,Dn as:movfromdr
22 mov Cn,Rn as:movtocr
23 mov Dn,Rn as:movtodr
28 np movaps Vx,Wx
28 66 movapd Vx,Wx
29 np movaps Wx,Vx
29 66 movapd Wx,Vx
2a np cvtpi2ps Vx,Qq
2a 66 cvtpi2pd Vx,Qq
2a f3 cvtsi2ss Vx,Ey
2a f2 cvtsi2sd Vx,Ey
2bm np movntps Mx,Vx
2bm 66 movntpd Mx,Vx
2c np cvttps2pi Pq,Wq
2c 66 cvttpd2pi Pq,Wx
2c f3 cvttss2si Gy,Wd
2c f2 cvttsd2si Gy,Wq
2d np cvtps2pi Pq,Wq
2d 66 cvtpd2pi Pq,Wx
2d f3 cvtss2si Gy,Wd
2d f2 cvtsd2si Gy,Wq
2e np ucomiss Vx,Wd
2e 66 ucomisd Vx,Wq
2f np comiss Vx,Wd
2f 66 comisd Vx,Wq
30 wrmsr -
31 rdtsc -
32 rdmsr -
33 rdpmc -
34 sysenter -
35 sysexit -
37 getsec -
${conditionRows(0x40, "cmov", "Gv,Ev")}
50r np movmskps Gd,Ux
50r 66 movmskpd Gd,Ux
51 np sqrtps Vx,Wx
51 66 sqrtpd Vx,Wx
51 f3 sqrtss Vx,Wd
51 f2 sqrtsd Vx,Wq
52 np rsqrtps Vx,Wx
52 f3 rsqrtss Vx,Wd
53 np rcpps Vx,Wx
53 f3 rcpss Vx,Wd
54 np andps Vx,Wx
54 66 andpd Vx,Wx
55 np andnps Vx,Wx
55 66 andnpd Vx,Wx
56 np orps Vx,Wx
56 66 orpd Vx,Wx
57 np xorps Vx,Wx
57 66 xorpd Vx,Wx
58 np addps Vx,Wx
58 66 addpd Vx,Wx
58 f3 addss Vx,Wd
58 f2 addsd Vx,Wq
59 np mulps Vx,Wx
59 66 mulpd Vx,Wx
59 f3 mulss Vx,Wd
59 f2 mulsd Vx,Wq
5a np cvtps2pd Vx,Wq
5a 66 cvtpd2ps Vx,Wx
5a f3 cvtss2sd Vx,Wd
5a f2 cvtsd2ss Vx,Wq
5b np cvtdq2ps Vx,Wx
5b 66 cvtps2dq Vx,Wx
5b f3 cvttps2dq Vx,Wx
5c np subps Vx,Wx
5c 66 subpd Vx,Wx
5c f3 subss Vx,Wd
5c f2 subsd Vx,Wq
5d np minps Vx,Wx
5d 66 minpd Vx,Wx
5d f3 minss Vx,Wd
5d f2 minsd Vx,Wq
5e np divps Vx,Wx
5e 66 divpd Vx,Wx
5e f3 divss Vx,Wd
5e f2 divsd Vx,Wq
5f np maxps Vx,Wx
5f 66 maxpd Vx,Wx
5f f3 maxss Vx,Wd
5f f2 maxsd Vx,Wq
60 mmx punpcklbw
61 mmx punpcklwd
62 mmx punpckldq
63 mmx packsswb
64 mmx pcmpgtb
65 mmx pcmpgtw
66 mmx pcmpgtd
67 mmx packuswb
68 mmx punpckhbw
69 mmx punpckhwd
6a mmx punpckhdq
6b mmx packssdw
6c 66 punpcklqdq Vx,Wx
6d 66 punpckhqdq Vx,Wx
6e np movd||movq Py,Ey
6e 66 movd||movq Vx,Ey
6f np movq Pq,Qq
6f 66 movdqa Vx,Wx
6f f3 movdqu Vx,Wx
70 np pshufw Pq,Qq,Ib
70 66 pshufd Vx,Wx,Ib
70 f3 pshufhw Vx,Wx,Ib
70 f2 pshuflw Vx,Wx,Ib
71/2r np psrlw Nq,Ib
71/2r 66 psrlw Ux,Ib
71/4r np psraw Nq,Ib
71/4r 66 psraw Ux,Ib
71/6r np psllw Nq,Ib
71/6r 66 psllw Ux,Ib
72/2r np psrld Nq,Ib
72/2r 66 psrld Ux,Ib
72/4r np psrad Nq,Ib
72/4r 66 psrad Ux,Ib
72/6r np pslld Nq,Ib
72/6r 66 pslld Ux,Ib
73/2r np psrlq Nq,Ib
73/2r 66 psrlq Ux,Ib
73/3r 66 psrldq Ux,Ib
73/6r np psllq Nq,Ib
73/6r 66 psllq Ux,Ib
73/7r 66 pslldq Ux,Ib
74 mmx pcmpeqb
75 mmx pcmpeqw
76 mmx pcmpeqd
77 np emms -
78 np vmread En,Gn
79 np vmwrite Gn,En
7c 66 haddpd Vx,Wx
7c f2 haddps Vx,Wx
7d 66 hsubpd Vx,Wx
7d f2 hsubps Vx,Wx
7e np movd||movq Ey,Py
7e 66 movd||movq Ey,Vx
7e f3 movq Vx,Wq
7f np movq Qq,Pq
7f 66 movdqa Wx,Vx
7f f3 movdqu Wx,Vx
${conditionRows(0x80, "j", "Jz f64")}
${conditionRows(0x90, "set", "Eb")}
a0 push FS d64 as:pushseg
a1 pop FS d64 as:popseg
a2 cpuid -
a3 bt Ev,Gv
a4 shld Ev,Gv,Ib
a5 shld Ev,Gv,CL
a8 push GS d64 as:pushseg
a9 pop GS d64 as:popseg
aa rsm -
ab bts Ev,Gv lock
ac shrd Ev,Gv,Ib
ad shrd Ev,Gv,CL
ae/0r f3 rdfsbase Ry o64
ae/1r f3 rdgsbase Ry o64
ae/2r f3 wrfsbase Ry o64
ae/3r f3 wrgsbase Ry o64
ae/0m np fxsave||fxsave64 M
ae/1m np fxrstor||fxrstor64 M
ae/2m np ldmxcsr Md
ae/3m np stmxcsr Md
ae/4m np xsave||xsave64 M
ae/5m np xrstor||xrstor64 M
ae/6m 66 clwb Mb
ae/6m np xsaveopt||xsaveopt64 M
ae/7m 66 clflushopt Mb
ae/7m np clflush Mb
ae/5r np lfence -
ae/6r np mfence -
ae/7r np sfence -
af imul Gv,Ev
b0 cmpxchg Eb,Gb lock
b1 cmpxchg Ev,Gv lock
b2m lss Gv,Mp
b3 btr Ev,Gv lock
b4m lfs Gv,Mp
b5m lgs Gv,Mp
b6 movzx Gv,Eb
b7 movzx Gv,Ew
b8 f3 popcnt Gv,Ev
b9 ud1 Gv,Ev
ba/4 bt Ev,Ib
ba/5 bts Ev,Ib lock
ba/6 btr Ev,Ib lock
ba/7 btc Ev,Ib lock
bb btc Ev,Gv lock
bc f3 tzcnt Gv,Ev
bc bsf Gv,Ev
bd f3 lzcnt Gv,Ev
bd bsr Gv,Ev
be movsx Gv,Eb
bf movsx Gv,Ew
c0 xadd Eb,Gb lock
c1 xadd Ev,Gv lock
c2 np cmpps Vx,Wx,Ib
c2 66 cmppd Vx,Wx,Ib
c2 f3 cmpss Vx,Wd,Ib
c2 f2 cmpsd Vx,Wq,Ib
c3m np movnti My,Gy
c4 np pinsrw Pq,Ed,Ib
c4 66 pinsrw Vx,Ed,Ib
c5r np pextrw Gd,Nq,Ib
c5r 66 pextrw Gd,Ux,Ib
c6 np shufps Vx,Wx,Ib
c6 66 shufpd Vx,Wx,Ib
c7/1m cmpxchg8b||cmpxchg16b M lock
c7/3m np xrstors||xrstors64 M
c7/4m np xsavec||xsavec64 M
c7/5m np xsaves||xsaves64 M
c7/6m np vmptrld Mq
c7/6m 66 vmclear Mq
c7/6m f3 vmxon Mq
c7/7m np vmptrst Mq
c7/7r f3 rdpid Rn
c7/6r nr rdrand Ev
c7/7r nr rdseed Ev
c8+ bswap Zv
d0 66 addsubpd Vx,Wx
d0 f2 addsubps Vx,Wx
d1 mmx psrlw
d2 mmx psrld
d3 mmx psrlq
d4 mmx paddq
d5 mmx pmullw
d6 66 movq Wq,Vx
d6r f3 movq2dq Vx,Nq
d6r f2 movdq2q Pq,Ux
d7r np pmovmskb Gd,Nq
d7r 66 pmovmskb Gd,Ux
d8 mmx psubusb
d9 mmx psubusw
da mmx pminub
db mmx pand
dc mmx paddusb
dd mmx paddusw
de mmx pmaxub
df mmx pandn
e0 mmx pavgb
e1 mmx psraw
e2 mmx psrad
e3 mmx pavgw
e4 mmx pmulhuw
e5 mmx pmulhw
e6 66 cvttpd2dq Vx,Wx
e6 f3 cvtdq2pd Vx,Wq
e6 f2 cvtpd2dq Vx,Wx
e7m np movntq Mq,Pq
e7m 66 movntdq Mx,Vx
e8 mmx psubsb
e9 mmx psubsw
ea mmx pminsw
eb mmx por
ec mmx paddsb
ed mmx paddsw
ee mmx pmaxsw
ef mmx pxor
f0m f2 lddqu Vx,Mx
f1 mmx psllw
f2 mmx pslld
f3 mmx psllq
f4 mmx pmuludq
f5 mmx pmaddwd
f6 mmx psadbw
f7r np maskmovq Pq,Nq
f7r 66 maskmovdqu Vx,Ux
f8 mmx psubb
f9 mmx psubw
fa mmx psubd
fb mmx psubq
fc mmx paddb
fd mmx paddw
fe mmx paddd
ff ud0 Gv,Ev
`;

/** Opcodes 0F 38 xx. */
export const MAP_0F38: string = `
00 mmx pshufb
01 mmx phaddw
02 mmx phaddd
03 mmx phaddsw
04 mmx pmaddubsw
05 mmx phsubw
06 mmx phsubd
07 mmx phsubsw
08 mmx psignb
09 mmx psignw
0a mmx psignd
0b mmx pmulhrsw
10 66 pblendvb Vx,Wx
14 66 blendvps Vx,Wx
15 66 blendvpd Vx,Wx
17 66 ptest Vx,Wx
1c mmx pabsb
1d mmx pabsw
1e mmx pabsd
20 66 pmovsxbw Vx,Wq
21 66 pmovsxbd Vx,Wd
22 66 pmovsxbq Vx,Ww
23 66 pmovsxwd Vx,Wq
24 66 pmovsxwq Vx,Wd
25 66 pmovsxdq Vx,Wq
28 66 pmuldq Vx,Wx
29 66 pcmpeqq Vx,Wx
2am 66 movntdqa Vx,Mx
2b 66 packusdw Vx,Wx
30 66 pmovzxbw Vx,Wq
31 66 pmovzxbd Vx,Wd
32 66 pmovzxbq Vx,Ww
33 66 pmovzxwd Vx,Wq
34 66 pmovzxwq Vx,Wd
35 66 pmovzxdq Vx,Wq
37 66 pcmpgtq Vx,Wx
38 66 pminsb Vx,Wx
39 66 pminsd Vx,Wx
3a 66 pminuw Vx,Wx
3b 66 pminud Vx,Wx
3c 66 pmaxsb Vx,Wx
3d 66 pmaxsd Vx,Wx
3e 66 pmaxuw Vx,Wx
3f 66 pmaxud Vx,Wx
40 66 pmulld Vx,Wx
41 66 phminposuw Vx,Wx
80m 66 invept Gn,Mx
81m 66 invvpid Gn,Mx
82m 66 invpcid Gn,Mx
c8 np sha1nexte Vx,Wx
c9 np sha1msg1 Vx,Wx
ca np sha1msg2 Vx,Wx
cb np sha256rnds2 Vx,Wx
cc np sha256msg1 Vx,Wx
cd np sha256msg2 Vx,Wx
db 66 aesimc Vx,Wx
dc 66 aesenc Vx,Wx
dd 66 aesenclast Vx,Wx
de 66 aesdec Vx,Wx
df 66 aesdeclast Vx,Wx
f0 f2 crc32 Gy,Eb
f1 f2 crc32 Gy,Ev
f0m nr movbe Gv,Mv
f1m nr movbe Mv,Gv
f6 66 adcx Gy,Ey
f6 f3 adox Gy,Ey
f9m np movdiri My,Gy
`;

/** Opcodes 0F 3A xx; every one has an immediate byte. */
export const MAP_0F3A: string = `
08 66 roundps Vx,Wx,Ib
09 66 roundpd Vx,Wx,Ib
0a 66 roundss Vx,Wd,Ib
0b 66 roundsd Vx,Wq,Ib
0c 66 blendps Vx,Wx,Ib
0d 66 blendpd Vx,Wx,Ib
0e 66 pblendw Vx,Wx,Ib
0f np palignr Pq,Qq,Ib
0f 66 palignr Vx,Wx,Ib
14 66 pextrb Ed,Vx,Ib
15 66 pextrw Ed,Vx,Ib
16 66 pextrd||pextrq Ey,Vx,Ib
17 66 extractps Ed,Vx,Ib
20 66 pinsrb Vx,Ed,Ib
21 66 insertps Vx,Wd,Ib
22 66 pinsrd||pinsrq Vx,Ey,Ib
40 66 dpps Vx,Wx,Ib
41 66 dppd Vx,Wx,Ib
42 66 mpsadbw Vx,Wx,Ib
44 66 pclmulqdq Vx,Wx,Ib
60 66 pcmpestrm||pcmpestrm64 Vx,Wx,Ib
61 66 pcmpestri||pcmpestri64 Vx,Wx,Ib
62 66 pcmpistrm Vx,Wx,Ib
63 66 pcmpistri Vx,Wx,Ib
cc np sha1rnds4 Vx,Wx,Ib
df 66 aeskeygenassist Vx,Wx,Ib
`;

/**
 * VEX instructions on general registers, map 0F 38. The prefix is that of VEX.pp; VEX.L is 0, and VEX.vvvv is free only
 * where an operand `B` names it.
 */
export const VEX_MAP_0F38: string = `
f2 np andn Gy,By,Ey
f3/1 np blsr By,Ey
f3/2 np blsmsk By,Ey
f3/3 np blsi By,Ey
f5 np bzhi Gy,Ey,By
f5 f3 pext Gy,By,Ey
f5 f2 pdep Gy,By,Ey
f6 f2 mulx Gy,By,Ey
f7 np bextr Gy,Ey,By
f7 66 shlx Gy,Ey,By
f7 f3 sarx Gy,Ey,By
f7 f2 shrx Gy,Ey,By
`;

/** The same, map 0F 3A. */
export const VEX_MAP_0F3A: string = "f0 f2 rorx Gy,Ey,Ib\n";

const X87_ARITHMETIC = ["fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr"];
const X87_INTEGER = ["fiadd", "fimul", "ficom", "ficomp", "fisub", "fisubr", "fidiv", "fidivr"];

/** Memory and register forms of the escape opcodes D8-DF. */
export function x87Rows(): string {
  let rows = "";
  const memory = (opcode: number, names: string[], size: string) => {
    names.forEach((name, i) => {
      if (name !== "") rows += `${hex(opcode)}/${i}m ${name} M${size}\n`;
    });
  };
  const register = (opcode: number, names: string[], operands: string) => {
    names.forEach((name, i) => {
      if (name !== "") rows += `${hex(opcode)}/${i}r ${name} ${operands}\n`;
    });
  };
  const single = (opcode: number, first: number, names: string[]) => {
    names.forEach((name, i) => {
      if (name !== "") rows += `${hex(opcode)}:${hex(first + i)} ${name} -\n`;
    });
  };
  memory(0xd8, X87_ARITHMETIC, "d");
  register(0xd8, X87_ARITHMETIC, "ST,Ti");
  memory(0xd9, ["fld", "", "fst", "fstp", "fldenv", "fldcw", "fnstenv", "fnstcw"], "d");
  single(0xd9, 0xd0, ["fnop"]);
  single(0xd9, 0xe0, ["fchs", "fabs", "", "", "ftst", "fxam"]);
  single(0xd9, 0xe8, ["fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz"]);
  single(0xd9, 0xf0, ["f2xm1", "fyl2x", "fptan", "fpatan", "fxtract", "fprem1", "fdecstp", "fincstp"]);
  single(0xd9, 0xf8, ["fprem", "fyl2xp1", "fsqrt", "fsincos", "frndint", "fscale", "fsin", "fcos"]);
  register(0xd9, ["fld", "fxch", "", "fstpnce"], "Ti");
  single(0xda, 0xe9, ["fucompp"]);
  memory(0xda, X87_INTEGER, "d");
  register(0xda, ["fcmovb", "fcmove", "fcmovbe", "fcmovu"], "ST,Ti");
  memory(0xdb, ["fild", "fisttp", "fist", "fistp", "", "fld", "", "fstp"], "d");
  single(0xdb, 0xe0, ["fneni", "fndisi", "fnclex", "fninit", "fnsetpm"]);
  register(0xdb, ["fcmovnb", "fcmovne", "fcmovnbe", "fcmovnu", "", "fucomi", "fcomi"], "ST,Ti");
  memory(0xdc, X87_ARITHMETIC, "q");
  register(0xdc, ["fadd", "fmul", "", "", "fsubr", "fsub", "fdivr", "fdiv"], "Ti,ST");
  register(0xdc, ["", "", "fcom", "fcomp"], "ST,Ti");
  memory(0xdd, ["fld", "fisttp", "fst", "fstp", "frstor", "", "fnsave", "fnstsw"], "q");
  register(0xdd, ["ffree", "fxch", "fst", "fstp", "fucom", "fucomp"], "Ti");
  single(0xde, 0xd9, ["fcompp"]);
  memory(0xde, X87_INTEGER, "w");
  register(0xde, ["faddp", "fmulp", "", "", "fsubrp", "fsubp", "fdivrp", "fdivp"], "Ti,ST");
  register(0xde, ["", "", "fcomp"], "ST,Ti");
  memory(0xdf, ["fild", "fisttp", "fist", "fistp", "fbld", "fild", "fbstp", "fistp"], "w");
  rows += "df:e0 fnstsw AX\n";
  register(0xdf, ["ffreep", "fxch", "fstp", "fstp"], "Ti");
  register(0xdf, ["", "", "", "", "", "fucomip", "fcomip"], "ST,Ti");
  return rows;
}
