"""The rules of the directory, without I/O. People, org units and tenants are represented by the bodies of their events
(`contracts.directory`): what is stored is what is published."""
