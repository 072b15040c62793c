/* The few user-mode calls that the verifier stands on. The DDK headers and
 * windows.h cannot be included together, so they are declared here. */
#ifndef WIN32_H
#define WIN32_H

#define IMPORT __declspec(dllimport)
typedef struct { PVOID ptr; } SRWLOCK;
typedef struct { PVOID ptr; } CONDITION_VARIABLE;
#define SRWLOCK_INIT {0}
#define INFINITE_MS 0xffffffffu
#define MEM_RESERVE_ 0x2000
#define MEM_COMMIT_ 0x1000
#define MEM_DECOMMIT_ 0x4000

IMPORT void NTAPI AcquireSRWLockExclusive(SRWLOCK *);
IMPORT void NTAPI ReleaseSRWLockExclusive(SRWLOCK *);
IMPORT int NTAPI SleepConditionVariableSRW(CONDITION_VARIABLE *, SRWLOCK *, ULONG ms, ULONG flags);
IMPORT void NTAPI WakeAllConditionVariable(CONDITION_VARIABLE *);
IMPORT ULONG NTAPI TlsAlloc(void);
IMPORT PVOID NTAPI TlsGetValue(ULONG);
IMPORT int NTAPI TlsSetValue(ULONG, PVOID);
IMPORT ULONG NTAPI GetCurrentThreadId(void);
IMPORT ULONG NTAPI GetTickCount(void);
IMPORT void NTAPI Sleep(ULONG ms);
IMPORT HANDLE NTAPI GetProcessHeap(void);
IMPORT PVOID NTAPI HeapAlloc(HANDLE, ULONG flags, SIZE_T);
IMPORT int NTAPI HeapFree(HANDLE, ULONG flags, PVOID);
IMPORT PVOID NTAPI VirtualAlloc(PVOID, SIZE_T, ULONG type, ULONG protect);
IMPORT int NTAPI VirtualFree(PVOID, SIZE_T, ULONG type);
IMPORT int NTAPI VirtualProtect(PVOID, SIZE_T, ULONG protect, ULONG *old);
typedef struct memory_region { PVOID base, allocation; ULONG allocated_as, pad; SIZE_T size; ULONG state, protect, type, pad2; } memory_region;
IMPORT SIZE_T NTAPI VirtualQuery(const void *, memory_region *, SIZE_T);
IMPORT HANDLE NTAPI CreateThread(PVOID, SIZE_T, ULONG (NTAPI *)(PVOID), PVOID, ULONG, ULONG *);
IMPORT int NTAPI CloseHandle(HANDLE);
IMPORT HANDLE NTAPI CreateFileA(const char *, ULONG access, ULONG share, PVOID, ULONG disposition, ULONG flags, HANDLE);
IMPORT int NTAPI WriteFile(HANDLE, const void *, ULONG, ULONG *, PVOID);
IMPORT PVOID NTAPI AddVectoredExceptionHandler(ULONG first, LONG (NTAPI *)(PEXCEPTION_POINTERS));
IMPORT PVOID NTAPI CreateThreadpoolTimer(void (NTAPI *)(PVOID, PVOID, PVOID), PVOID, PVOID);
IMPORT void NTAPI SetThreadpoolTimer(PVOID, LARGE_INTEGER *due, ULONG period, ULONG window);
IMPORT void NTAPI WaitForThreadpoolTimerCallbacks(PVOID, int cancel);
IMPORT void NTAPI CloseThreadpoolTimer(PVOID);
IMPORT int NTAPI QueryPerformanceFrequency(LARGE_INTEGER *);
IMPORT int NTAPI QueryPerformanceCounter(LARGE_INTEGER *);
IMPORT void NTAPI GetSystemTimePreciseAsFileTime(LARGE_INTEGER *);
IMPORT PVOID NTAPI GetModuleHandleA(const char *);
IMPORT PVOID NTAPI GetProcAddress(PVOID module, const char *);

static inline PVOID heap_alloc(SIZE_T n) { return HeapAlloc(GetProcessHeap(), 8 /* zeroed */, n); }
static inline void heap_free(PVOID p) { HeapFree(GetProcessHeap(), 0, p); }

#endif
