#include "plain.h"

BOOLEAN NTAPI PlainResetBus(PVOID DeviceExtension, ULONG PathId)
{
    PLAIN *Plain = DeviceExtension;

    COUNT(Plain, ResetBus);
    if (PathId != 0)
        return FALSE;
    PlainAbort(Plain, SRB_STATUS_BUS_RESET, TRUE);
    PlainEnable(Plain, TRUE);
    StorPortNotification(ResetDetected, Plain, (UCHAR)PathId);
    return TRUE;
}

static VOID Support(PSCSI_SUPPORTED_CONTROL_TYPE_LIST List, const ULONG *Types, ULONG Count)
{
    while (Count--)
        if (Types[Count] < List->MaxControlType)
            List->SupportedTypeList[Types[Count]] = TRUE;
}

SCSI_ADAPTER_CONTROL_STATUS NTAPI PlainAdapterControl(
    PVOID DeviceExtension, SCSI_ADAPTER_CONTROL_TYPE ControlType, PVOID Parameters)
{
    static const ULONG Supported[] = { ScsiQuerySupportedControlTypes, ScsiStopAdapter,
        ScsiSetBootConfig, ScsiSetRunningConfig, ScsiAdapterPower, ScsiAdapterSurpriseRemoval };
    PLAIN *Plain = DeviceExtension;
    PSTOR_ADAPTER_CONTROL_POWER Power = Parameters;

    COUNT(Plain, AdapterControl);
    switch (ControlType) {
    case ScsiQuerySupportedControlTypes:
        Support(Parameters, Supported, RTL_NUMBER_OF(Supported));
        return ScsiAdapterControlSuccess;
    case ScsiStopAdapter:
        /* For good: as it takes ScsiAdapterPower, it is not stopped to save power. */
        PlainAbort(Plain, SRB_STATUS_NO_HBA, FALSE);
        PlainStopServices(Plain);
        return ScsiAdapterControlSuccess;
    case ScsiSetBootConfig:
    case ScsiSetRunningConfig:
        return ScsiAdapterControlSuccess;
    case ScsiAdapterPower:
        PlainEnable(Plain, Power->PowerState == StorPowerDeviceD0);
        return ScsiAdapterControlSuccess;
    case ScsiAdapterSurpriseRemoval:
        Plain->Removed = TRUE;
        PlainAbort(Plain, SRB_STATUS_NO_HBA, FALSE);
        return ScsiAdapterControlSuccess;
    default:
        return ScsiAdapterControlUnsuccessful;
    }
}

SCSI_UNIT_CONTROL_STATUS NTAPI PlainUnitControl(
    PVOID DeviceExtension, SCSI_UNIT_CONTROL_TYPE ControlType, PVOID Parameters)
{
    static const ULONG Supported[] = { ScsiQuerySupportedUnitControlTypes, ScsiUnitUsage, ScsiUnitStart, ScsiUnitPower,
        ScsiUnitRemove, ScsiUnitSurpriseRemoval };
    PLAIN *Plain = DeviceExtension;
    PSTOR_ADDR_BTL8 Address = Parameters;
    PULONG64 Extension;

    COUNT(Plain, UnitControl);
    switch (ControlType) {
    case ScsiQuerySupportedUnitControlTypes:
        Support(Parameters, Supported, RTL_NUMBER_OF(Supported));
        return ScsiUnitControlSuccess;
    case ScsiUnitStart:
        Extension = StorPortGetLogicalUnit(Plain, Address->Path, Address->Target, Address->Lun);
        if (Address->Type != STOR_ADDRESS_TYPE_BTL8 || !Extension)
            COUNT(Plain, Failures);
        else
            (*Extension)++;
        return ScsiUnitControlSuccess;
    case ScsiUnitUsage:
    case ScsiUnitPower:
    case ScsiUnitRemove:
    case ScsiUnitSurpriseRemoval:
        return ScsiUnitControlSuccess;
    default:
        return ScsiUnitControlUnsuccessful;
    }
}
