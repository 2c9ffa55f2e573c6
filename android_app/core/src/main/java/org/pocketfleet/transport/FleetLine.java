package org.pocketfleet.transport;

import java.util.function.Consumer;
import org.pocketfleet.SettingsException;
import org.pocketfleet.state.StateDirectory;

/** Puts the parts of a line to a server together. */
public final class FleetLine {
  private FleetLine() {}

  /**
   * Prepares a line; makes no call.
   *
   * @param stop set when the client is to leave
   * @param trouble hears, in words for people, what the line deals with itself
   * @param phase hears when a download, an upload and waiting begin; see {@link
   *     org.pocketfleet.energy.Phases}
   * @throws SettingsException the server's address or the authority's certificate is none
   */
  public static Transport open(
      ClientConfig config,
      NodeKey key,
      StateDirectory state,
      StopSignal stop,
      Consumer<String> trouble,
      Consumer<String> phase)
      throws SettingsException {
    ServerClock clock = new ServerClock(config.localTime());
    TlsTrust trust = config.insecure() ? null : TlsTrust.of(config.caPem(), config.pinnedKeys());
    Connection connection =
        new Connection(config.server(), key, clock, trust, config.silenceSeconds());
    Session session =
        new Session(
            connection,
            key,
            state,
            config.heartbeatSeconds(),
            config.giveUpAfterSeconds(),
            stop,
            trouble);
    return new FleetTransport(
        session, state, clock, config.maxMessageBytes(), config.leaveWithinSeconds(), phase);
  }
}
