package org.pocketfleet.desktop;

import java.io.File;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.client.Client;
import org.pocketfleet.client.ClientListener;
import org.pocketfleet.client.Handler;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.transport.ClientConfig;
import org.pocketfleet.transport.FileNodeKey;
import org.pocketfleet.transport.NodeKey;

/** A client that works until SIGTERM or SIGINT. */
final class Service {
  private Service() {}

  /**
   * Serves one server. At a signal the client finishes sending, if it is sending; a task it is
   * working on stays in the state directory, and the next start takes it up. A second signal kills.
   *
   * @throws PocketfleetException wrong settings, a state directory in use or broken, a server that
   *     refuses or stays away
   */
  static void run(ClientConfig config, Handler handler) throws PocketfleetException {
    NodeKey key = key(config.stateDirectory());
    Client client = new Client(config, key, handler, task -> null, new Silent());
    Signals.handle(
        name -> {
          Events.info("event=leaving signal=%s", name);
          client.stop();
        });
    client.run();
  }

  /**
   * The key of a state directory, made if there is none.
   *
   * @throws PocketfleetException the directory is in use while there is no key yet, or is broken
   */
  static NodeKey key(File directory) throws PocketfleetException {
    File file = StateDirectory.keyFile(directory);
    if (file.exists()) {
      // A running client holds the directory; its key can be read all the same.
      return FileNodeKey.loadOrCreate(file);
    }
    try (StateDirectory state = new StateDirectory(directory)) {
      return FileNodeKey.loadOrCreate(StateDirectory.keyFile(state.path()));
    }
  }

  /** The log says it all. */
  private static final class Silent implements ClientListener {
    @Override
    public void connected() {}

    @Override
    public void waiting(double waitSeconds) {}

    @Override
    public void working(Task task) {}

    @Override
    public void finished(Task task, Reply reply, String problem) {}

    @Override
    public void sent() {}

    @Override
    public void trouble(String words) {}
  }
}
