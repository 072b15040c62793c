/*
 * Registers of an adapter: memory that StorPortGetDeviceBase mapped, and I/O ports. On x64 the port driver has no part in
 * it; the order of accesses is that of the program. Each access is one move: whoever plays a device (a hypervisor, the tests)
 * has to decode it, and a compiler would make part of a comparison of it.
 */
#ifndef SLUICE_STORPORT_REGISTERS_H
#define SLUICE_STORPORT_REGISTERS_H

#include "miniport.h"

#define SLUICE_REGISTER(Name, Type)                                                                                    \
    FORCEINLINE Type SluiceLoad##Name(volatile Type *Register)                                                         \
    {                                                                                                                  \
        Type Value;                                                                                                    \
        __asm__ volatile("mov %1, %0" : "=r"(Value) : "m"(*Register) : "memory");                                      \
        return Value;                                                                                                  \
    }                                                                                                                  \
    FORCEINLINE VOID SluiceStore##Name(volatile Type *Register, Type Value)                                            \
    {                                                                                                                  \
        __asm__ volatile("mov %1, %0" : "=m"(*Register) : "r"(Value) : "memory");                                      \
    }                                                                                                                  \
    FORCEINLINE Type StorPortReadRegister##Name(PVOID HwDeviceExtension, volatile Type *Register)                      \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(HwDeviceExtension);                                                                     \
        return SluiceLoad##Name(Register);                                                                             \
    }                                                                                                                  \
    FORCEINLINE VOID StorPortWriteRegister##Name(PVOID HwDeviceExtension, volatile Type *Register, Type Value)         \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(HwDeviceExtension);                                                                     \
        SluiceStore##Name(Register, Value);                                                                            \
        __atomic_thread_fence(__ATOMIC_SEQ_CST);                                                                       \
    }                                                                                                                  \
    FORCEINLINE VOID StorPortReadRegisterBuffer##Name(                                                                 \
        PVOID HwDeviceExtension, volatile Type *Register, Type *Buffer, ULONG Count)                                   \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(HwDeviceExtension);                                                                     \
        while (Count--)                                                                                                \
            *Buffer++ = SluiceLoad##Name(Register);                                                                    \
    }                                                                                                                  \
    FORCEINLINE VOID StorPortWriteRegisterBuffer##Name(                                                                \
        PVOID HwDeviceExtension, volatile Type *Register, Type *Buffer, ULONG Count)                                   \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(HwDeviceExtension);                                                                     \
        while (Count--)                                                                                                \
            SluiceStore##Name(Register, *Buffer++);                                                                    \
        __atomic_thread_fence(__ATOMIC_SEQ_CST);                                                                       \
    }

SLUICE_REGISTER(Uchar, UCHAR)
SLUICE_REGISTER(Ushort, USHORT)
SLUICE_REGISTER(Ulong, ULONG)
SLUICE_REGISTER(Ulong64, ULONG64)

/* The address of a port is its number. */
#define SLUICE_PORT(Name, Type, Suffix)                                                                                \
    FORCEINLINE Type StorPortReadPort##Name(PVOID HwDeviceExtension, Type *Port)                                       \
    {                                                                                                                  \
        Type Value;                                                                                                    \
        UNREFERENCED_PARAMETER(HwDeviceExtension);                                                                     \
        __asm__ volatile("in" Suffix " %1, %0" : "=a"(Value) : "Nd"((USHORT)(ULONG_PTR)Port) : "memory");              \
        return Value;                                                                                                  \
    }                                                                                                                  \
    FORCEINLINE VOID StorPortWritePort##Name(PVOID HwDeviceExtension, Type *Port, Type Value)                          \
    {                                                                                                                  \
        UNREFERENCED_PARAMETER(HwDeviceExtension);                                                                     \
        __asm__ volatile("out" Suffix " %0, %1" : : "a"(Value), "Nd"((USHORT)(ULONG_PTR)Port) : "memory");             \
    }                                                                                                                  \
    FORCEINLINE VOID StorPortReadPortBuffer##Name(PVOID HwDeviceExtension, Type *Port, Type *Buffer, ULONG Count)      \
    {                                                                                                                  \
        while (Count--)                                                                                                \
            *Buffer++ = StorPortReadPort##Name(HwDeviceExtension, Port);                                               \
    }                                                                                                                  \
    FORCEINLINE VOID StorPortWritePortBuffer##Name(PVOID HwDeviceExtension, Type *Port, Type *Buffer, ULONG Count)     \
    {                                                                                                                  \
        while (Count--)                                                                                                \
            StorPortWritePort##Name(HwDeviceExtension, Port, *Buffer++);                                               \
    }

SLUICE_PORT(Uchar, UCHAR, "b")
SLUICE_PORT(Ushort, USHORT, "w")
SLUICE_PORT(Ulong, ULONG, "l")

#undef SLUICE_REGISTER
#undef SLUICE_PORT

#endif /* SLUICE_STORPORT_REGISTERS_H */
