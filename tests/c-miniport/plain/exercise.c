#include "plain.h"

/* The rest of the interface, which an adapter needs at rare moments: called once, at PASSIVE_LEVEL, when somebody asks. */

#define EXPECT(Plain, Condition) ((Condition) ? 0 : COUNT(Plain, Failures))

static VOID NTAPI StateChanged(
    PVOID HwDeviceExtension, PVOID Context, SHORT AddressType, PVOID Address, ULONG Status)
{
    PLAIN *Plain = HwDeviceExtension;

    EXPECT(Plain, Context == Plain && AddressType == STOR_ADDRESS_TYPE_BTL8 && Address && Status < 0x80000000);
    COUNT(Plain, StateChanges);
}

/* Whatever is held back is let go again. */
static VOID Flow(PLAIN *Plain)
{
    EXPECT(Plain, StorPortPause(Plain, 60) && StorPortResume(Plain));
    EXPECT(Plain, StorPortBusy(Plain, 1000) && StorPortReady(Plain));
    EXPECT(Plain, StorPortPauseDevice(Plain, 0, 0, 0, 60) && StorPortResumeDevice(Plain, 0, 0, 0));
    EXPECT(Plain, StorPortDeviceBusy(Plain, 0, 0, 0, 1000) && StorPortDeviceReady(Plain, 0, 0, 0));
    EXPECT(Plain, StorPortSetDeviceQueueDepth(Plain, 0, 0, 0, ADAPTER_ENTRIES));
    EXPECT(Plain, !StorPortSetDeviceQueueDepth(Plain, 0, 7, 0, ADAPTER_ENTRIES)); /* there is no such unit */
    EXPECT(Plain, StorPortGetLogicalUnit(Plain, 0, 0, 0) != NULL && StorPortGetLogicalUnit(Plain, 0, 7, 0) == NULL);
}

static VOID Registry(PLAIN *Plain)
{
    ULONG Value = 42, Length = sizeof(Value), Read = 0;
    PUCHAR Buffer = StorPortAllocateRegistryBuffer(Plain, &Length);
    PVOID Place = &Read;

    if (!Buffer) {
        COUNT(Plain, Failures);
        return;
    }
    RtlCopyMemory(Buffer, &Value, sizeof(Value));
    EXPECT(Plain,
        StorPortRegistryWrite(Plain, (PUCHAR)(ULONG_PTR) "Exercised", FALSE, MINIPORT_REG_DWORD, Buffer, sizeof(Value)));
    RtlZeroMemory(Buffer, sizeof(Value));
    Length = sizeof(Value);
    EXPECT(Plain,
        StorPortRegistryRead(Plain, (PUCHAR)(ULONG_PTR) "Exercised", FALSE, MINIPORT_REG_DWORD, Buffer, &Length));
    RtlCopyMemory(&Value, Buffer, sizeof(Value));
    EXPECT(Plain, Value == 42 && Length == sizeof(Value));
    StorPortFreeRegistryBuffer(Plain, Buffer);

    Value = 43;
    EXPECT(Plain,
        StorPortRegistryWriteAdapterKey(Plain, (PUCHAR)(ULONG_PTR) "StorPort", (PUCHAR)(ULONG_PTR) "Exercised", REG_DWORD,
            &Value, sizeof(Value)) == STOR_STATUS_SUCCESS);
    Length = sizeof(Read);
    EXPECT(Plain,
        StorPortRegistryReadAdapterKey(Plain, (PUCHAR)(ULONG_PTR) "StorPort", (PUCHAR)(ULONG_PTR) "Exercised", REG_DWORD,
            &Place, &Length) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, Read == 43);
}

static VOID Telling(PLAIN *Plain)
{
    STOR_ADDR_BTL8 Unit;

    RtlZeroMemory(&Unit, sizeof(Unit));
    Unit.Type = STOR_ADDRESS_TYPE_BTL8;
    Unit.AddressLength = STOR_ADDR_BTL8_ADDRESS_LENGTH;
    StorPortLogError(Plain, NULL, 0, 0, 0, SP_INTERNAL_ADAPTER_ERROR, 7);
    EXPECT(Plain,
        StorPortStateChangeDetected(Plain, STATE_CHANGE_LUN, (PSTOR_ADDRESS)&Unit, ATTRIBUTE_DEVICE_STATE_CHANGE,
            StateChanged, Plain) == STOR_STATUS_SUCCESS);
    EXPECT(Plain,
        StorPortAsyncNotificationDetected(Plain, (PSTOR_ADDRESS)&Unit, RAID_ASYNC_NOTIFY_FLAG_MEDIA_STATUS) ==
            STOR_STATUS_SUCCESS);
    EXPECT(Plain,
        StorPortEtwEvent8(Plain, (PSTOR_ADDRESS)&Unit, 8, (PWSTR)L"Exercised", STORPORT_ETW_EVENT_KEYWORD_IO,
            StorportEtwLevelWarning, StorportEtwEventOpcodeInfo, NULL, (PWSTR)L"One", 1, (PWSTR)L"Two", 2,
            (PWSTR)L"Three", 3, (PWSTR)L"Four", 4, (PWSTR)L"Five", 5, (PWSTR)L"Six", 6, (PWSTR)L"Seven", 7,
            (PWSTR)L"Eight", 0x800000008) == STOR_STATUS_SUCCESS);
    StorPortNotification(BusChangeDetected, Plain, 0);
}

static VOID Machine(PLAIN *Plain)
{
    STOR_PHYSICAL_ADDRESS Address = StorPortConvertUlong64ToPhysicalAddress(0x123456789);
    UCHAR Configuration[4] = { 0 }, Written[2] = { 0x5A, 0xA5 };
    PVOID Adapter = NULL, Physical = NULL, Lower = NULL;
    BOOLEAN D3Cold = FALSE;
    KIRQL Irql = 0xFF;
    STOR_ADDR_BTL8 Unit = { .Type = STOR_ADDRESS_TYPE_BTL8, .Port = 0xFFFF, .AddressLength = STOR_ADDR_BTL8_ADDRESS_LENGTH };

    EXPECT(Plain, StorPortConvertPhysicalAddressToUlong64(Address) == 0x123456789);
    EXPECT(Plain, StorPortConvertPhysicalAddressToUlong(Address) == 0x23456789);
    EXPECT(Plain, !StorPortValidateRange(Plain, PCIBus, 0, Address, PAGE_SIZE, FALSE)); /* not the adapter's */
    EXPECT(Plain, StorPortSetBusDataByOffset(Plain, PCIConfiguration, 0, 0, Written, 0x40, sizeof(Written)) == 2);
    EXPECT(Plain, StorPortGetBusData(Plain, PCIConfiguration, 0, 0, Configuration, sizeof(Configuration)) == 4);
    EXPECT(Plain, StorPortGetCurrentIrql(Plain, &Irql) == STOR_STATUS_SUCCESS && Irql == 0);
    EXPECT(Plain, StorPortGetSystemPortNumber(Plain, (PSTOR_ADDRESS)&Unit) == STOR_STATUS_SUCCESS && Unit.Port != 0xFFFF);
    EXPECT(Plain, StorPortDelayExecution(Plain, 10) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortMarkDumpMemory(Plain, Plain, sizeof(*Plain), 0) == STOR_STATUS_SUCCESS);
    /* What may be missing answers so, and nothing else happens. */
    StorPortGetDeviceObjects(Plain, &Adapter, &Physical, &Lower);
    EXPECT(Plain, StorPortInitializePoFxPower(Plain, NULL, NULL, &D3Cold) != STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortSetPowerSettingNotificationGuids(Plain, 0, NULL) != STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortExtendedFunction((STORPORT_FUNCTION_CODE)9999, Plain) == STOR_STATUS_NOT_IMPLEMENTED);
}

static VOID NTAPI PlainNeverCalled(PSTOR_DPC Dpc, PVOID DeviceExtension, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    EXPECT((PLAIN *)DeviceExtension, FALSE);
}

/* Lists, MDLs, processors: by the functions of the headers, whose arguments only C can get wrong. */
static VOID Objects(PLAIN *Plain)
{
    STOR_SLIST_HEADER Single;
    STOR_SLIST_ENTRY Pushed, *Popped = NULL;
    STOR_LIST_ENTRY Head, Entry, *Removed = NULL;
    STOR_KSPIN_LOCK Lock;
    GROUP_AFFINITY Affinity;
    PVOID Pool = NULL, Mdl = NULL;
    BOOLEAN Waited = TRUE;
    ULONG Count = 0, Tick = 0;
    USHORT Wanted = 0;
    SHORT Depth = 0;
    STOR_DPC Dpc;

    EXPECT(Plain, StorPortInitializeSListHead(Plain, &Single) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortInterlockedPushEntrySList(Plain, &Single, &Pushed, &Popped) == STOR_STATUS_SUCCESS && !Popped);
    EXPECT(Plain, StorPortQueryDepthSList(Plain, &Single, &Depth) == STOR_STATUS_SUCCESS && Depth == 1);
    EXPECT(Plain, StorPortInterlockedPopEntrySList(Plain, &Single, &Popped) == STOR_STATUS_SUCCESS && Popped == &Pushed);
    EXPECT(Plain, StorPortInterlockedFlushSList(Plain, &Single, &Popped) == STOR_STATUS_SUCCESS && !Popped);
    StorPortInitializeListHead(Plain, &Head);
    EXPECT(Plain, StorPortInitializeSpinlock(Plain, &Lock) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortInterlockedInsertTailList(Plain, &Head, &Entry, &Removed, &Lock) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortInterlockedRemoveHeadList(Plain, &Head, &Removed, &Lock) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, Removed == &Entry && Head.Flink == &Head && Head.Blink == &Head);

    EXPECT(Plain, StorPortAllocatePool(Plain, 2 * PAGE_SIZE, PLAIN_TAG, &Pool) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortAllocateMdl(Plain, Pool, 2 * PAGE_SIZE, &Mdl) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortBuildMdlForNonPagedPool(Plain, Mdl) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortFreeMdl(Plain, Mdl) == STOR_STATUS_SUCCESS);
    EXPECT(Plain, StorPortFreePool(Plain, Pool) == STOR_STATUS_SUCCESS);

    EXPECT(Plain, StorPortGetProcessorCount(Plain, &Count) == STOR_STATUS_SUCCESS && Count > 0);
    EXPECT(Plain, StorPortGetNodeAffinity2(Plain, 0, &Affinity, 1, &Wanted) == STOR_STATUS_SUCCESS && Wanted == 1);
    EXPECT(Plain, StorPortQueryTimerMinInterval(Plain, &Tick) == STOR_STATUS_SUCCESS && Tick > 0);
    StorPortInitializeThreadedDpc(Plain, &Dpc, PlainNeverCalled);
    EXPECT(Plain, StorPortCancelDpc(Plain, &Dpc, &Waited) == STOR_STATUS_SUCCESS && !Waited);
    EXPECT(Plain, StorPortPoFxActivateComponent(Plain, NULL, NULL, 0, 0) == STOR_STATUS_INVALID_DEVICE_REQUEST);
}

VOID PlainExercise(PLAIN *Plain)
{
    Flow(Plain);
    Registry(Plain);
    Telling(Plain);
    Machine(Plain);
    Objects(Plain);
}
