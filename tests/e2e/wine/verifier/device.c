/* Device objects, their names and their security. */
#include "kernel.h"

#define DACL_MAX 1024
#define DELETED 0xdead /* in Spare1: gone when what is attached to it is */
typedef struct device_info { ULONG extension, dacl_size; UCHAR dacl[DACL_MAX]; WCHAR name[64]; } device_info;

static NTSTATUS create(DRIVER_OBJECT *d, ULONG extension, UNICODE_STRING *name, DEVICE_TYPE type, ULONG flags, BOOLEAN exclusive, DEVICE_OBJECT **device, void *caller)
{
    device_info *info;
    NTSTATUS st;
    irql_at_most(APC_LEVEL, "IoCreateDevice", caller);
    st = IoCreateDevice(d, extension, name, type, flags, exclusive, device);
    if (!NT_SUCCESS(st)) return st;
    (*device)->Characteristics = flags;
    (*device)->Flags |= DO_DEVICE_INITIALIZING | (exclusive ? DO_EXCLUSIVE : 0);
    info = heap_alloc(sizeof *info);
    info->extension = extension;
    if (name) RtlCopyMemory(info->name, name->Buffer, min(name->Length, sizeof info->name - sizeof(WCHAR)));
    object_add(DEVICE, *device, caller, info);
    return st;
}
NTSTATUS EXPORT(IoCreateDevice)(DRIVER_OBJECT *d, ULONG extension, UNICODE_STRING *name, DEVICE_TYPE type, ULONG flags, BOOLEAN exclusive, DEVICE_OBJECT **device)
{ return create(d, extension, name, type, flags, exclusive, device, CALLER); }
/* The SDDL string is not turned into a DACL: verifier_device_dacl sees none. */
NTSTATUS EXPORT(IoCreateDeviceSecure)(DRIVER_OBJECT *d, ULONG extension, UNICODE_STRING *name, DEVICE_TYPE type, ULONG flags, BOOLEAN exclusive, UNICODE_STRING *sddl, const GUID *class_guid, DEVICE_OBJECT **device)
{ return create(d, extension, name, type, flags, exclusive, device, CALLER); }

static BOOLEAN has_above(object *o, void *device) { return ((DEVICE_OBJECT *)o->key)->AttachedDevice == device; }

void EXPORT(IoDeleteDevice)(DEVICE_OBJECT *device)
{
    device_info *info;
    BOOLEAN above;
    irql_at_most(APC_LEVEL, "IoDeleteDevice", CALLER);
    if (!object_remove(DEVICE, device, (void **)&info)) {
        violation("device.delete-unknown", CALLER, "IoDeleteDevice of %p, which is no live device object", device);
        return;
    }
    lock_all();
    above = object_any(DEVICE, has_above, device);
    unlock_all();
    if (above) violation("device.delete-not-detached", CALLER, "IoDeleteDevice of %p, which is still attached to its lower device", device);
    lock_order_forget(device->DeviceExtension, info->extension);
    heap_free(info);
    /* A lower filter deletes its device while the function driver above is still
     * attached: NT keeps the object until that one detaches. */
    if (device->AttachedDevice) device->Spare1 = DELETED;
    else IoDeleteDevice(device);
}

DEVICE_OBJECT *EXPORT(IoAttachDeviceToDeviceStack)(DEVICE_OBJECT *source, DEVICE_OBJECT *target)
{
    DEVICE_OBJECT *lower;
    irql_at_most(DISPATCH_LEVEL, "IoAttachDeviceToDeviceStack", CALLER);
    lower = IoAttachDeviceToDeviceStack(source, target);
    if (lower) { source->AlignmentRequirement = lower->AlignmentRequirement; source->SectorSize = lower->SectorSize; }
    return lower;
}
NTSTATUS EXPORT(IoAttachDeviceToDeviceStackSafe)(DEVICE_OBJECT *source, DEVICE_OBJECT *target, DEVICE_OBJECT **lower)
{
    irql_at_most(DISPATCH_LEVEL, "IoAttachDeviceToDeviceStackSafe", CALLER);
    *lower = x_IoAttachDeviceToDeviceStack(source, target);
    return *lower ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}
void EXPORT(IoDetachDevice)(DEVICE_OBJECT *target)
{
    irql_at_most(DISPATCH_LEVEL, "IoDetachDevice", CALLER);
    if (!target->AttachedDevice) violation("device.not-attached", CALLER, "IoDetachDevice of %p, to which nothing is attached", target);
    IoDetachDevice(target);
    if (target->Spare1 == DELETED) IoDeleteDevice(target);
}

typedef struct wanted { const WCHAR *name; DEVICE_OBJECT *found; } wanted;
static BOOLEAN has_name(object *o, void *context)
{
    wanted *w = context;
    if (_wcsicmp(((device_info *)o->u.ptr)->name, w->name)) return FALSE;
    w->found = o->key;
    return TRUE;
}

/* Wine's own gives a device that is none. A real file object would open the device; an event stands in for it, which
 * like a file object can be given back. */
NTSTATUS EXPORT(IoGetDeviceObjectPointer)(UNICODE_STRING *name, ACCESS_MASK access, FILE_OBJECT **file, DEVICE_OBJECT **device)
{
    WCHAR text[64] = { 0 };
    wanted w = { text, NULL };
    HANDLE handle;
    NTSTATUS st;
    irql_at_most(PASSIVE_LEVEL, "IoGetDeviceObjectPointer", CALLER);
    RtlCopyMemory(text, name->Buffer, min(name->Length, sizeof text - sizeof(WCHAR)));
    lock_all();
    object_any(DEVICE, has_name, &w);
    unlock_all();
    if (!w.found) return STATUS_OBJECT_NAME_NOT_FOUND;
    *device = w.found;
    st = ZwCreateEvent(&handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    if (!NT_SUCCESS(st)) return st;
    st = ObReferenceObjectByHandle(handle, EVENT_ALL_ACCESS, NULL, KernelMode, (void **)file, NULL);
    ZwClose(handle);
    return st;
}

/* Links are told apart by a hash of their upper-cased name. */
static void *link_key(UNICODE_STRING *name)
{
    ULONG_PTR h = 1469598103934665603ull;
    for (int i = 0; i < name->Length / 2; i++) {
        WCHAR c = name->Buffer[i];
        h = (h ^ (c >= 'a' && c <= 'z' ? c - 32 : c)) * 1099511628211ull;
    }
    return (void *)(h | 1);
}
NTSTATUS EXPORT(IoCreateSymbolicLink)(UNICODE_STRING *name, UNICODE_STRING *target)
{
    NTSTATUS st;
    irql_at_most(PASSIVE_LEVEL, "IoCreateSymbolicLink", CALLER);
    st = IoCreateSymbolicLink(name, target);
    if (NT_SUCCESS(st)) object_add(SYMLINK, link_key(name), CALLER, NULL);
    return st;
}
NTSTATUS EXPORT(IoDeleteSymbolicLink)(UNICODE_STRING *name)
{
    irql_at_most(PASSIVE_LEVEL, "IoDeleteSymbolicLink", CALLER);
    object_remove(SYMLINK, link_key(name), NULL);
    return IoDeleteSymbolicLink(name);
}

NTSTATUS EXPORT(IoRegisterShutdownNotification)(DEVICE_OBJECT *device)
{
    irql_at_most(PASSIVE_LEVEL, "IoRegisterShutdownNotification", CALLER);
    object_add(SHUTDOWN, device, CALLER, NULL);
    return STATUS_SUCCESS;
}
NTSTATUS EXPORT(IoRegisterLastChanceShutdownNotification)(DEVICE_OBJECT *device)
{
    irql_at_most(PASSIVE_LEVEL, "IoRegisterLastChanceShutdownNotification", CALLER);
    object_add(SHUTDOWN, device, CALLER, NULL);
    return STATUS_SUCCESS;
}
void EXPORT(IoUnregisterShutdownNotification)(DEVICE_OBJECT *device)
{
    irql_at_most(PASSIVE_LEVEL, "IoUnregisterShutdownNotification", CALLER);
    while (object_remove(SHUTDOWN, device, NULL)) ;
}
void EXPORT(IoInvalidateDeviceState)(DEVICE_OBJECT *pdo) { irql_at_most(DISPATCH_LEVEL, "IoInvalidateDeviceState", CALLER); }

/* ---- security: Wine cannot open a device object by pointer, so the handle is
 * the pointer, tagged, and only ZwSetSecurityObject and ZwClose know it ---- */

#define HANDLE_TAG 0x5356ull /* in the upper 16 bits: no address, no Wine handle */

static DEVICE_OBJECT *device_of_handle(HANDLE h)
{
    return (ULONG_PTR)h >> 48 == HANDLE_TAG ? (DEVICE_OBJECT *)((ULONG_PTR)h & 0xffffffffffffull) : NULL;
}

NTSTATUS EXPORT(ObOpenObjectByPointer)(PVOID object, ULONG attributes, PACCESS_STATE state, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode, HANDLE *handle)
{
    BOOLEAN is_device;
    irql_at_most(PASSIVE_LEVEL, "ObOpenObjectByPointer", CALLER);
    lock_all();
    is_device = object_find(DEVICE, object) != NULL;
    unlock_all();
    if (!is_device) return ObOpenObjectByPointer(object, attributes, state, access, type, mode, handle);
    if (!(attributes & OBJ_KERNEL_HANDLE)) violation("handle.not-kernel", CALLER, "ObOpenObjectByPointer without OBJ_KERNEL_HANDLE");
    *handle = (HANDLE)((ULONG_PTR)object | HANDLE_TAG << 48);
    return STATUS_SUCCESS;
}

NTSTATUS EXPORT(ZwSetSecurityObject)(HANDLE handle, SECURITY_INFORMATION what, PSECURITY_DESCRIPTOR sd)
{
    DEVICE_OBJECT *device = device_of_handle(handle);
    BOOLEAN present = FALSE, defaulted;
    ACL *dacl = NULL;
    object *o;
    irql_at_most(PASSIVE_LEVEL, "ZwSetSecurityObject", CALLER);
    if (!device) return ZwSetSecurityObject(handle, what, sd);
    if (!(what & DACL_SECURITY_INFORMATION)) return STATUS_SUCCESS;
    if (!NT_SUCCESS(RtlGetDaclSecurityDescriptor(sd, &present, &dacl, &defaulted))) return STATUS_INVALID_SECURITY_DESCR;
    if (!present || !dacl || dacl->AclSize > DACL_MAX) return STATUS_INVALID_ACL;
    lock_all();
    o = object_find(DEVICE, device);
    if (o) {
        device_info *info = o->u.ptr;
        info->dacl_size = dacl->AclSize;
        RtlCopyMemory(info->dacl, dacl, dacl->AclSize);
    }
    unlock_all();
    return o ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

NTSTATUS EXPORT(ZwClose)(HANDLE handle)
{
    irql_at_most(PASSIVE_LEVEL, "ZwClose", CALLER);
    return device_of_handle(handle) ? STATUS_SUCCESS : ZwClose(handle);
}

ULONG verifier_device_dacl(PVOID device, void *buffer, ULONG length)
{
    ULONG size = 0;
    object *o;
    lock_all();
    o = object_find(DEVICE, device);
    if (o) {
        device_info *info = o->u.ptr;
        size = info->dacl_size;
        RtlCopyMemory(buffer, info->dacl, size < length ? size : length);
    }
    unlock_all();
    return size;
}
