"""nerfstudio plugin: configs, dataparsers, data manager, model, pipeline and trainer of all sage methods."""
