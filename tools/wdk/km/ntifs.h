/* First on wdk-build's include path: lets wdk-sys's build script parse mingw-w64's DDK headers and declares what
 * mingw-w64 10.0 lacks and wdk-sys or a driver calls. Signatures follow Microsoft's published documentation. */
#pragma once

/* bindgen cannot express __tile1024i: leave out clang's AMX headers. */
#define __AMXINTRIN_H
#define __AMX_COMPLEXINTRIN_H
#define __AMX_FP16INTRIN_H

/* Inline functions here (bindgen skips those), exports in the WDK: wdk-sys expects them in ntddk. */
#define KeGetCurrentIrql mingw_KeGetCurrentIrql
#define KfRaiseIrql      mingw_KfRaiseIrql
#define KeLowerIrql      mingw_KeLowerIrql
#include_next <ntifs.h>
#undef KeGetCurrentIrql
#undef KfRaiseIrql
#undef KeLowerIrql

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);

typedef ULONG64 POOL_FLAGS;
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
NTKERNELAPI VOID NTAPI ExFreePool2(PVOID P, ULONG Tag, PVOID ExtendedParameters, ULONG ExtendedParametersCount);

NTKERNELAPI KIRQL NTAPI ExAcquireSpinLockExclusive(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExReleaseSpinLockExclusive(volatile LONG *SpinLock, KIRQL OldIrql);
NTKERNELAPI KIRQL NTAPI ExAcquireSpinLockShared(volatile LONG *SpinLock);
NTKERNELAPI VOID NTAPI ExReleaseSpinLockShared(volatile LONG *SpinLock, KIRQL OldIrql);

NTKERNELAPI NTSTATUS NTAPI RtlQueryRegistryValuesEx(ULONG RelativeTo, PCWSTR Path,
    PRTL_QUERY_REGISTRY_TABLE QueryTable, PVOID Context, PVOID Environment);
NTKERNELAPI VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime);
NTKERNELAPI ULONG_PTR NTAPI IoGetRemainingStackSize(VOID);
NTKERNELAPI NTSTATUS NTAPI KeExpandKernelStackAndCalloutEx(PVOID Callout, PVOID Parameter, SIZE_T Size, BOOLEAN Wait,
    PVOID Context);
