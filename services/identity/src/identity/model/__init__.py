"""The rules of the directory, without I/O. People, org units and tenants are held as the bodies of their own events
(`contracts.directory`): what is stored is what is published."""
