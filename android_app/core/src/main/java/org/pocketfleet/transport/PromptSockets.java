package org.pocketfleet.transport;

import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import javax.net.SocketFactory;

/** Sockets that send what they have at once, and do not wait for more to fill a packet. */
final class PromptSockets extends SocketFactory {
  private final SocketFactory usual = SocketFactory.getDefault();

  @Override
  public Socket createSocket() throws IOException {
    return prompt(usual.createSocket());
  }

  @Override
  public Socket createSocket(String host, int port) throws IOException {
    return prompt(usual.createSocket(host, port));
  }

  @Override
  public Socket createSocket(String host, int port, InetAddress local, int localPort)
      throws IOException {
    return prompt(usual.createSocket(host, port, local, localPort));
  }

  @Override
  public Socket createSocket(InetAddress host, int port) throws IOException {
    return prompt(usual.createSocket(host, port));
  }

  @Override
  public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort)
      throws IOException {
    return prompt(usual.createSocket(host, port, local, localPort));
  }

  private static Socket prompt(Socket socket) throws SocketException {
    socket.setTcpNoDelay(true);
    return socket;
  }
}
