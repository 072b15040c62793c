/* Not in mingw-w64: empty, so that the headers of wdk-sys's feature `storage` parse. */
