/* mingw-w64's storport.h repeats a structure of its own srb.h: give the repeat another name. */
#pragma once
#include <srb.h>
#define _SCSI_WMI_REQUEST_BLOCK _STORPORT_SCSI_WMI_REQUEST_BLOCK
#define SCSI_WMI_REQUEST_BLOCK  STORPORT_SCSI_WMI_REQUEST_BLOCK
#define PSCSI_WMI_REQUEST_BLOCK PSTORPORT_SCSI_WMI_REQUEST_BLOCK
#include_next <storport.h>
#undef _SCSI_WMI_REQUEST_BLOCK
#undef SCSI_WMI_REQUEST_BLOCK
#undef PSCSI_WMI_REQUEST_BLOCK
