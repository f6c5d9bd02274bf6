from whisper_dispatcher.worker.process import main

main()
