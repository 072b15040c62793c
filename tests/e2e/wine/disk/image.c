/* The medium: an image file. Everything here runs at PASSIVE_LEVEL. */
#include "disk.h"

NTSTATUS NTAPI ZwFlushBuffersFile(HANDLE, PIO_STATUS_BLOCK);

NTSTATUS image_open(disk *d, PCWSTR path)
{
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK status;
    FILE_STANDARD_INFORMATION info;
    RtlInitUnicodeString(&name, path);
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    ACCESS_MASK access = GENERIC_READ | SYNCHRONIZE | (d->flags & CREATE_READ_ONLY ? 0 : GENERIC_WRITE);
    NTSTATUS s = ZwCreateFile(&d->image, access, &attributes, &status, NULL, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ,
                              FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, NULL, 0);
    if (!NT_SUCCESS(s)) return s;
    s = ZwQueryInformationFile(d->image, &status, &info, sizeof info, FileStandardInformation);
    if (NT_SUCCESS(s)) d->capacity = info.EndOfFile.QuadPart / d->sector_size * d->sector_size;
    return s;
}

NTSTATUS image_read(disk *d, ULONGLONG at, PVOID data, ULONG length)
{
    IO_STATUS_BLOCK status;
    LARGE_INTEGER offset = { .QuadPart = at };
    NTSTATUS s = ZwReadFile(d->image, NULL, NULL, NULL, &status, data, length, &offset, NULL);
    if (NT_SUCCESS(s) && status.Information != length) s = STATUS_END_OF_FILE;
    return s;
}

NTSTATUS image_write(disk *d, ULONGLONG at, const void *data, ULONG length)
{
    IO_STATUS_BLOCK status;
    LARGE_INTEGER offset = { .QuadPart = at };
    NTSTATUS s = ZwWriteFile(d->image, NULL, NULL, NULL, &status, (PVOID)data, length, &offset, NULL);
    if (NT_SUCCESS(s) && status.Information != length) s = STATUS_DISK_FULL;
    return s;
}

NTSTATUS image_flush(disk *d)
{
    IO_STATUS_BLOCK status;
    return ZwFlushBuffersFile(d->image, &status);
}

/* A quick 64-bit checksum (multiply and fold): it tells two buffers apart, no more. */
ULONGLONG checksum(ULONGLONG h, const UCHAR *p, SIZE_T n)
{
    for (; n >= 8; n -= 8, p += 8) {
        h = (h ^ *(const ULONGLONG UNALIGNED *)p) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    for (; n; n--) h = (h ^ *p++) * 0x9e3779b97f4a7c15ull;
    return h;
}
